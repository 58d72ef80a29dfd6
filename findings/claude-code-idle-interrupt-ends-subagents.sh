#!/usr/bin/env bash
# An interrupt of an idle Claude Code ends the subagents that work in the background, and leaves background shells alone.
#
# Package: @anthropic-ai/claude-code 2.1.332 (npm), stream-json over stdio, against a Messages API of this script's own.
# Guess before looking: `interrupt` ends the running turn; with no turn running it does nothing, as its answer (success, nothing else) suggests.
# Seen: with the turn over, one subagent and one shell at work in the background, `interrupt` is answered with success and then
#   task_updated {status: killed} and task_notification {status: stopped} come for the subagent. The shell goes on.
#   With `perTaskStopAffordance: true` in `initialize` both go on. A front end whose stop button is always there loses work that way.
#
# Needs npm and python3. Fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error --no-package-lock @anthropic-ai/claude-code@2.1.332 >/dev/null
mkdir "$dir/work" "$dir/home"
cat >"$dir/try.py" <<'PY'
import http.server, json, os, queue, subprocess, sys, threading, uuid

ROOT = sys.argv[1]
CALLS = [("Agent", {"description": "long work", "prompt": "work for long", "subagent_type": "general-purpose", "run_in_background": True}),
         ("Bash", {"command": "sleep 30 & wait", "description": "a shell", "run_in_background": True})]
over = threading.Event()


class Api(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = [m for m in asked.get("messages", []) if m["role"] == "user"][-1]["content"]
        blocks = [{"type": "text", "text": last}] if isinstance(last, str) else last
        text = " ".join(b.get("text", "") for b in blocks if not b.get("text", "").startswith("<system-reminder>"))
        if "work for long" in text:
            over.wait(60)  # The subagent's model thinks.
            return
        calls = CALLS if "begin" in text else []
        events = [("message_start", {"message": {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": asked.get("model", "m"),
                   "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}})]
        for index, (name, given) in enumerate(calls):
            block = {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": name, "input": {}}
            events += [("content_block_start", {"index": index, "content_block": block}),
                       ("content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": json.dumps(given)}}),
                       ("content_block_stop", {"index": index})]
        if not calls:
            events += [("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
                       ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "done"}}), ("content_block_stop", {"index": 0})]
        stop = "tool_use" if calls else "end_turn"
        events += [("message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 1}}), ("message_stop", {})]
        body = "".join(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n" for kind, fields in events).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def attempt(affordance):
    """What became of the tasks, by their kind, after an interrupt when idle."""
    environment = {"PATH": os.environ["PATH"], "HOME": f"{ROOT}/home", "CLAUDE_CONFIG_DIR": f"{ROOT}/home/config", "ANTHROPIC_API_KEY": "none",
                   "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                   "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1"}
    command = [f"{ROOT}/node_modules/.bin/claude", "--print", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
               "--setting-sources", "", "--allowedTools", "Agent", "Task", "Bash"]
    child = subprocess.Popen(command, cwd=f"{ROOT}/work", env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(json.loads(line)) for line in child.stdout] and lines.put(None), daemon=True).start()

    def tell(line):
        child.stdin.write(json.dumps(line) + "\n")
        child.stdin.flush()

    def until(what):
        while not what(line := lines.get(timeout=60)):
            seen(line)
        seen(line)

    kinds, ended = {}, {}

    def seen(line):
        if line.get("subtype") == "task_started":
            kinds[line["task_id"]] = line["task_type"]
        if line.get("subtype") == "task_notification":
            ended[kinds[line["task_id"]]] = line["status"]

    def answered(request):
        return lambda line: line["type"] == "control_response" and line["response"]["request_id"] == request

    tell({"type": "control_request", "request_id": "hello", "request": {"subtype": "initialize", "hooks": None, "perTaskStopAffordance": affordance}})
    until(answered("hello"))
    tell({"type": "user", "message": {"role": "user", "content": "begin"}, "parent_tool_use_id": None, "session_id": ""})
    until(lambda line: line["type"] == "result")
    assert sorted(kinds.values()) == ["local_agent", "local_bash"] and not ended, (kinds, ended)
    tell({"type": "control_request", "request_id": "stop", "request": {"subtype": "interrupt"}})
    until(answered("stop"))
    # A second answer comes after whatever the first has set off.
    threading.Event().wait(3)
    tell({"type": "control_request", "request_id": "again", "request": {"subtype": "mcp_status"}})
    until(answered("again"))
    child.terminate()
    child.wait(30)
    return ended


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
plain, told = attempt(False), attempt(True)
over.set()
print("ended by an interrupt when idle:", plain, "with perTaskStopAffordance:", told)
assert plain == {"local_agent": "stopped"}, "changed"
assert told == {}, "changed with perTaskStopAffordance"
print("as described")
PY
timeout 240 python3 "$dir/try.py" "$dir"
