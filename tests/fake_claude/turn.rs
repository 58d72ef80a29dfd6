//! The commands of the fake CLI, one function each. `N` is a number; a word in capitals is the rest of the command.
//!
//! | command | does |
//! | --- | --- |
//! | `text WORDS` | a message with one text block, a delta a word |
//! | `think WORDS` | a message with one thinking block |
//! | `deltas N [BYTES [RATE]]` | a message of N text deltas of so many bytes, so many a second (0: all at once) |
//! | `tool NAME JSON` | a tool call that needs no permission, and its result |
//! | `gives N` | a call of `Read` whose result is N bytes of text: numbered lines with quotes and characters of four bytes |
//! | `ask NAME JSON` | a tool call with a permission prompt; goes on when it is answered |
//! | `asks N` | N prompts at once (tool `Read`), answered in any order |
//! | `withdraw NAME JSON` | a prompt that the CLI takes back |
//! | `mcp NAME JSON` | the handshake with the `client` MCP server and a call of its tool |
//! | `hang` | nothing, until an interrupt |
//! | `sleep N` | N milliseconds, an interrupt ends the turn |
//! | `result SUBTYPE` | a result (one more, if the turn goes on) |
//! | `twice` | ends the turn with two results |
//! | `no-result` | ends the turn without one |
//! | `api-error TEXT` | ends the turn as a failed API call does |
//! | `schedule WORDS` | when the next message has come, first a turn of its own that says this, as for a schedule |
//! | `fold WORDS` | the same, and the message is folded into that turn: one result for both |
//! | `crash N` / `signal N` | exits / ends by that signal, in the middle of things |
//! | `refuse N TEXT` | TEXT to stderr and exit N |
//! | `refuse-times K N TEXT` | the same for the first K starts (needs `FAKE_CLAUDE_STATE`) |
//! | `half-line` | the first half of a line, without its end (then usually `crash`) |
//! | `garbage` | lines that are no JSON, no object, no UTF-8 |
//! | `giant N` | a message with N bytes of text in one line |
//! | `unknown` | a kind, a subtype, a block, a field and a control request that nobody knows |
//! | `raw LINE` | exactly that line |
//! | `stderr N` | N bytes to stderr |
//! | `grandchild` | leaves a process in a session of its own (stdio closed) |
//! | `grandchild-stdout` | the same, holding stdin, stdout and stderr open |
//! | `unmarked-stdout N` | a process without the environment holds stdout open for N seconds |
//! | `close-stdout` | closes stdout and lives on |
//! | `ignore WHAT` | as `ignore` in the script: `interrupt`, `sigterm`, `initialize`, `close` |
//! | `deaf` | never reads stdin again, and never ends |
//! | `args` / `session` / `cwd` / `env NAME` / `file FLAG` | says its arguments (JSON) / conversation / directory / variable / the file that `--FLAG=` names |

use std::io::Write;
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Cli;

/// A turn of its own that is due.
#[derive(Debug)]
pub(super) struct Due {
    words: String,
    folds: bool,
}

/// How a turn goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    /// The command gave the result, or there shall be none.
    Ended,
    Interrupted,
}

impl Cli {
    pub(super) fn command(&mut self, command: &str) -> Flow {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        match name {
            "text" => return self.text(rest),
            "think" => self.think(rest),
            "deltas" => return self.deltas(rest),
            "tool" => self.tool(rest),
            "gives" => self.gives(usize::try_from(number(rest)).unwrap_or(0)),
            "ask" => return self.ask(&[split(rest)]),
            "asks" => {
                let tools: Vec<_> = (0..number(rest))
                    .map(|index| ("Read".to_owned(), json!({"file_path": format!("/etc/file-{index}")})))
                    .collect();
                return self.ask(&tools);
            }
            "withdraw" => self.withdraw(rest),
            "mcp" => return self.mcp(rest),
            "hang" => return self.wait(Duration::MAX),
            "sleep" => return self.wait(Duration::from_millis(number(rest))),
            "result" => self.result_of(rest),
            "schedule" | "fold" => {
                self.due.push_back(Due { words: rest.to_owned(), folds: name == "fold" });
            }
            "twice" => {
                self.result_success();
                self.result_success();
                return Flow::Ended;
            }
            "no-result" => return Flow::Ended,
            "api-error" => {
                self.api_error(rest);
                return Flow::Ended;
            }
            "args" => return self.text(&json!(self.arguments).to_string()),
            "session" => return self.text(&self.session_id.clone()),
            "cwd" => return self.text(&std::env::current_dir().unwrap_or_default().to_string_lossy()),
            "env" => return self.text(&std::env::var(rest).unwrap_or_else(|_| "(unset)".into())),
            "file" => {
                let file = self.option(rest).unwrap_or_default();
                return self.text(&std::fs::read_to_string(file).unwrap_or_else(|error| error.to_string()));
            }
            _ => self.misbehave(name, rest),
        }
        Flow::On
    }

    /// A message has come: what is due goes first. True: the message was folded into it.
    pub(super) fn own_turns(&mut self, message: &super::Message) -> bool {
        while let Some(Due { words, folds }) = self.due.pop_front() {
            if !folds {
                self.own_turn(&words, &Value::Null);
                continue;
            }
            self.emit_init();
            self.text(&words);
            self.lifecycle(message.uuid.as_deref(), "started");
            self.text(&format!("echo: {}", message.text));
            self.lifecycle(message.uuid.as_deref(), "completed");
            self.message.clone_from(&message.uuid);
            self.result_of("success");
            self.message = None;
            return true;
        }
        false
    }

    fn misbehave(&mut self, name: &str, rest: &str) {
        match name {
            "crash" => exit(i32::try_from(number(rest)).unwrap_or(1)),
            "signal" => signal_self(rest),
            "refuse" => refuse(rest),
            "refuse-times" => self.refuse_times(rest),
            "half-line" => self.emit_raw("{\"type\":\"assistant\",\"message\":{\"id\":\"msg_half"),
            "garbage" => {
                self.emit_raw("this is not JSON\n{\"type\":\n[1,2]\nnull\n\"text\"\n\n\r\n");
                let _ = std::io::stdout().lock().write_all(b"{\"type\":\"\xff\xfe\"}\n");
            }
            "giant" => {
                let text = "g".repeat(usize::try_from(number(rest)).unwrap_or(0));
                self.assistant("msg_giant", &json!({"type": "text", "text": text}));
            }
            "unknown" => self.unknown(),
            "raw" => self.emit_raw(&format!("{rest}\n")),
            "stderr" => flood_stderr(number(rest)),
            "grandchild" => leave_behind(false),
            "grandchild-stdout" => leave_behind(true),
            "unmarked-stdout" => {
                let mut command = Command::new("setsid");
                command.args(["--fork", "sleep", rest]).env_clear().env("PATH", "/bin:/usr/bin");
                command.status().expect("`setsid` can be started");
            }
            "close-stdout" => {
                // Replaced, not closed: nothing else must get its number.
                let null = std::fs::File::options().write(true).open("/dev/null").expect("/dev/null opens");
                rustix::stdio::dup2_stdout(null).expect("stdout can be replaced");
            }
            "ignore" => self.ignore(rest),
            "deaf" => {
                super::DEAF.store(true, std::sync::atomic::Ordering::Relaxed);
                loop {
                    std::thread::park();
                }
            }
            "" => {}
            _ => {
                eprintln!("fake_claude: unknown command `{name}`");
                exit(64);
            }
        }
    }

    pub(super) fn text(&mut self, text: &str) -> Flow {
        let id = self.message_start();
        self.block_start(0, &json!({"type": "text", "text": ""}));
        self.partial = Some(String::new());
        for word in text.split_inclusive(' ') {
            self.emit_raw(&self.text_delta_line(word));
            self.partial.get_or_insert_default().push_str(word);
        }
        self.finish_text(&id)
    }

    fn finish_text(&mut self, id: &str) -> Flow {
        let text = self.partial.take().unwrap_or_default();
        self.assistant(id, &json!({"type": "text", "text": text}));
        self.block_stop(0);
        self.message_stop("end_turn");
        Flow::On
    }

    fn think(&mut self, text: &str) {
        let id = self.message_start();
        self.block_start(0, &json!({"type": "thinking", "thinking": "", "signature": ""}));
        let thinking = Value::from(text);
        self.event(&format!(
            "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"thinking_delta\",\"thinking\":{thinking}}}}}"
        ));
        self.assistant(&id, &json!({"type": "thinking", "thinking": text, "signature": "s"}));
        self.block_stop(0);
        self.message_stop("end_turn");
    }

    fn deltas(&mut self, rest: &str) -> Flow {
        let mut numbers = rest.split_whitespace().map(number);
        let count = numbers.next().unwrap_or(0);
        let bytes = usize::try_from(numbers.next().unwrap_or(20)).unwrap_or(20);
        let rate = numbers.next().unwrap_or(0);
        let id = self.message_start();
        self.block_start(0, &json!({"type": "text", "text": ""}));
        // Neighbours differ everywhere: what is alike takes no room in the gateway's store.
        let texts = ["d".repeat(bytes), "e".repeat(bytes)];
        let lines = [self.text_delta_line(&texts[0]), self.text_delta_line(&texts[1])];
        self.partial = Some(String::new());
        let begin = Instant::now();
        // At full speed many lines go out in one write, as a busy pipe has them.
        let batch = if rate == 0 { 64 } else { 1 };
        let mut sent = 0;
        while sent < count {
            let now = batch.min(count - sent);
            let which = || (sent..sent + now).map(|number| usize::from(number % 2 == 1));
            self.emit_raw(&which().map(|one| lines[one].as_str()).collect::<String>());
            which().for_each(|one| self.partial.get_or_insert_default().push_str(&texts[one]));
            sent += now;
            let due = sent
                .saturating_mul(1_000_000)
                .checked_div(rate)
                .map_or(Duration::ZERO, Duration::from_micros);
            if self.wait(due.saturating_sub(begin.elapsed())) == Flow::Interrupted {
                return Flow::Interrupted;
            }
        }
        self.finish_text(&id)
    }

    fn tool(&mut self, rest: &str) {
        let (name, input) = split(rest);
        let (message, tool) = self.tool_use(&name, &input);
        self.tool_use_end(&message, &tool, &name, &input);
        self.tool_result(&tool, "tool done", false);
    }

    fn gives(&mut self, bytes: usize) {
        let (name, input) = split("Read {}");
        let (message, tool) = self.tool_use(&name, &input);
        self.tool_use_end(&message, &tool, &name, &input);
        let lines = (0..=bytes / 9).map(|line| format!("{line} \"\u{1F980}\"\n"));
        let mut content: String = lines.collect();
        content.truncate(content.floor_char_boundary(bytes));
        self.tool_result(&tool, &content, false);
    }

    fn tool_use(&mut self, name: &str, input: &Value) -> (String, String) {
        let message = self.message_start();
        let tool = self.next_id("toolu");
        self.block_start(0, &json!({"type": "tool_use", "id": tool, "name": name, "input": {}}));
        let partial = Value::from(input.to_string());
        self.event(&format!(
            "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":{partial}}}}}"
        ));
        self.assistant(&message, &json!({"type": "tool_use", "id": tool, "name": name, "input": input}));
        (message, tool)
    }

    fn tool_use_end(&mut self, _message: &str, _tool: &str, _name: &str, _input: &Value) {
        self.block_stop(0);
        self.message_stop("tool_use");
    }

    /// Prompts for all of them, then gives each its result as it is answered.
    fn ask(&mut self, tools: &[(String, Value)]) -> Flow {
        let mut open = Vec::new();
        for (name, input) in tools {
            let (message, tool) = self.tool_use(name, input);
            let request = self.next_id("prompt");
            self.can_use_tool(&request, &tool, name, input);
            self.tool_use_end(&message, &tool, name, input);
            open.push((request, tool));
        }
        while !open.is_empty() {
            if self.take_interrupt() {
                for (request, _) in open {
                    self.emit(&json!({"type": "control_cancel_request", "request_id": request}));
                }
                return Flow::Interrupted;
            }
            let mut index = 0;
            while index < open.len() {
                let Some(answer) = self.answers.remove(&open[index].0) else {
                    index += 1;
                    continue;
                };
                let (_, tool) = open.remove(index);
                let answer = &answer["response"];
                if answer["behavior"] == "allow" {
                    self.tool_result(&tool, &format!("ran with {}", answer["updatedInput"]), false);
                } else {
                    self.tool_result(&tool, answer["message"].as_str().unwrap_or("denied"), true);
                    if answer["interrupt"] == true {
                        return Flow::Interrupted;
                    }
                }
            }
            if !open.is_empty() {
                self.listen(Duration::from_millis(200));
                if self.input_ended {
                    for (_, tool) in open.drain(..) {
                        let text = "Tool permission stream closed before response received";
                        self.tool_result(&tool, text, true);
                    }
                }
            }
        }
        Flow::On
    }

    fn withdraw(&mut self, rest: &str) {
        let (name, input) = split(rest);
        let (message, tool) = self.tool_use(&name, &input);
        let request = self.next_id("prompt");
        self.can_use_tool(&request, &tool, &name, &input);
        self.tool_use_end(&message, &tool, &name, &input);
        self.emit(&json!({"type": "control_cancel_request", "request_id": request}));
        self.tool_result(&tool, "withdrawn", true);
    }

    fn mcp(&mut self, rest: &str) -> Flow {
        let (name, input) = split(rest);
        let initialize = json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "claude-code", "version": "2.1.330"}});
        for (method, params) in
            [("initialize", initialize), ("notifications/initialized", json!({})), ("tools/list", json!({}))]
        {
            if self.mcp_call(method, &params).is_none() {
                return Flow::Interrupted;
            }
        }
        let full_name = format!("mcp__client__{name}");
        let (message, tool) = self.tool_use(&full_name, &input);
        self.tool_use_end(&message, &tool, &full_name, &input);
        let params = json!({"name": name, "arguments": input, "_meta": {"claudecode/toolUseId": tool}});
        let Some(answer) = self.mcp_call("tools/call", &params) else {
            return Flow::Interrupted;
        };
        self.tool_result(&tool, &answer["response"]["mcp_response"]["result"].to_string(), false);
        Flow::On
    }

    /// Waits for the answer. `None`: interrupted.
    fn mcp_call(&mut self, method: &str, params: &Value) -> Option<Value> {
        let request = self.next_id("mcp");
        let mut message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        if !method.starts_with("notifications/") {
            message["id"] = json!(self.counter);
        }
        self.emit(&json!({"type": "control_request", "request_id": request,
            "request": {"subtype": "mcp_message", "server_name": "client", "message": message}}));
        loop {
            if let Some(answer) = self.answers.remove(&request) {
                return Some(answer);
            }
            if self.take_interrupt() || self.input_ended {
                return None;
            }
            self.listen(Duration::from_millis(200));
        }
    }

    /// Listens for so long; an interrupt ends it.
    fn wait(&mut self, time: Duration) -> Flow {
        let begin = Instant::now();
        loop {
            if self.take_interrupt() {
                return Flow::Interrupted;
            }
            let left = time.saturating_sub(begin.elapsed());
            self.listen(left.min(Duration::from_millis(200)));
            if self.take_interrupt() {
                return Flow::Interrupted;
            }
            if begin.elapsed() >= time {
                return Flow::On;
            }
        }
    }

    fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.interrupted)
    }

    fn refuse_times(&self, rest: &str) {
        let (times, rest) = rest.split_once(' ').unwrap_or((rest, "1"));
        let file = self.state.as_ref().expect("`refuse-times` needs FAKE_CLAUDE_STATE").join("starts");
        let before = std::fs::read_to_string(&file).map_or(0, |text| number(&text));
        let _ = std::fs::write(&file, (before + 1).to_string());
        if before < number(times) {
            refuse(rest);
        }
    }

    fn unknown(&mut self) {
        self.emit(&json!({"type": "brand_new_kind", "data": {"type": "result"}}));
        self.emit(&json!({"type": "system", "subtype": "brand_new_subtype", "data": [1, 2]}));
        self.event("{\"type\":\"brand_new_event\",\"index\":0}");
        self.assistant("msg_unknown", &json!({"type": "brand_new_block", "data": {}}));
        self.emit(&json!({"type": "system", "subtype": "status", "status": "requesting", "brand_new_field": {"a": [{}]}}));
        let request = self.next_id("unknown");
        self.emit(&json!({"type": "control_request", "request_id": request, "request": {"subtype": "brand_new_request"}}));
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// `NAME JSON`.
fn split(rest: &str) -> (String, Value) {
    let (name, input) = rest.split_once(' ').unwrap_or((rest, "{}"));
    (name.to_owned(), serde_json::from_str(input).unwrap_or_else(|_| json!({})))
}

fn refuse(rest: &str) -> ! {
    let (code, text) = rest.split_once(' ').unwrap_or((rest, ""));
    eprintln!("{text}");
    exit(i32::try_from(number(code)).unwrap_or(1));
}

fn signal_self(rest: &str) -> ! {
    let signal = i32::try_from(number(rest)).ok().and_then(rustix::process::Signal::from_named_raw);
    let signal = signal.unwrap_or(rustix::process::Signal::KILL);
    // Rust's own handler of SIGSEGV and SIGBUS swallows the first one.
    loop {
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn flood_stderr(bytes: u64) {
    let line = [b"e".repeat(99), b"\n".to_vec()].concat();
    let mut err = std::io::stderr().lock();
    for _ in 0..bytes.div_ceil(100) {
        let _ = err.write_all(&line);
    }
    let _ = err.write_all(b"last words\n");
}

/// A process in a session of its own, whose parent is gone.
fn leave_behind(holds_stdio: bool) {
    let mut command = Command::new("setsid");
    command.args(["--fork", "sleep", "300"]);
    if !holds_stdio {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    }
    command.status().expect("`setsid` can be started");
}

/// From here on SIGTERM does nothing: a handler is there, and nobody looks.
pub(super) fn ignore_sigterm() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let context = runtime.enter();
    let handler = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    std::mem::forget(handler.expect("a handler"));
    drop(context);
    std::mem::forget(runtime);
}
