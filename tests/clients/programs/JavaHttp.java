import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CountDownLatch;

class JavaHttp implements WebSocket.Listener {
    static final CountDownLatch END = new CountDownLatch(1);
    long size;

    public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
        size += part.toString().getBytes(StandardCharsets.UTF_8).length;
        if (last) { System.out.println("{\"got\":" + size + "}"); size = 0; }
        socket.request(1);
        return null;
    }
    public CompletionStage<?> onClose(WebSocket socket, int code, String why) {
        System.out.println("{\"closed\":" + code + ",\"why\":\"" + why + "\"}");
        END.countDown();
        return null;
    }
    public void onError(WebSocket socket, Throwable error) {
        System.out.println("{\"error\":\"" + error + "\"}");
        END.countDown();
    }
    public static void main(String[] arguments) throws Exception {
        WebSocket socket = HttpClient.newHttpClient().newWebSocketBuilder()
            .header("Authorization", "Bearer " + System.getenv("TOKEN"))
            .buildAsync(URI.create(System.getenv("URL")), new JavaHttp()).join();
        socket.sendText(System.getenv("START"), true);
        END.await();
        System.exit(0);
    }
}
