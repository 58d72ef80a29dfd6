//! Records what a Claude Code CLI writes in named flows, against the scripted model and without the gateway.
//!
//! `cargo run --example record -- CLI OUT_DIR [--stdin] [FLOW…]` writes `OUT_DIR/FLOW.jsonl` (the CLI's stdout lines,
//! paths of this machine replaced) and, with `--stdin`, `OUT_DIR/FLOW.stdin.jsonl` (the lines written to it). The
//! fixtures under `tests/fixtures/streams/` are made with it.

use std::{
    collections::VecDeque,
    error::Error,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use claude_ws::scripted_model::{ENV_REMOVE, Script, ScriptedModel};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FLOW_LIMIT: Duration = Duration::from_mins(1);
/// One white pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==";

/// What to do with permission prompts.
#[derive(Clone, Copy, PartialEq)]
enum OnPrompt {
    Allow,
    /// Allow with what the CLI suggests first.
    AllowSuggested,
    /// Allow `touch edited` instead.
    AllowEdited,
    Deny,
    DenyAndInterrupt,
    Interrupt,
    /// Wait until two are open, then allow the second and deny the first.
    TwoOpen,
    /// Pick the first option of each question.
    Answer,
}

/// When to interrupt.
#[derive(Clone, Copy, PartialEq)]
enum InterruptAt {
    Never,
    /// As soon as the turn has begun.
    Init,
    /// After some text.
    Text,
    /// When the tool has been allowed and runs.
    Tool,
}

struct Flow {
    name: &'static str,
    says: Vec<Value>,
    args: Vec<&'static str>,
    prompt: OnPrompt,
    interrupt: InterruptAt,
    client_tools: bool,
}

impl Flow {
    fn new(name: &'static str, says: &[&str]) -> Self {
        let says = says.iter().map(|text| json!(text)).collect();
        let (prompt, interrupt) = (OnPrompt::Allow, InterruptAt::Never);
        Self { name, says, args: vec![], prompt, interrupt, client_tools: false }
    }

    fn prompt(self, prompt: OnPrompt) -> Self {
        Self { prompt, ..self }
    }

    fn interrupt(self, interrupt: InterruptAt) -> Self {
        Self { interrupt, ..self }
    }

    fn args(self, args: &[&'static str]) -> Self {
        Self { args: args.to_vec(), ..self }
    }
}

fn flows() -> Vec<Flow> {
    let image = json!([
        {"type": "text", "text": "look at this"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ]);
    let unicode = "echo \u{1F980} ü \u{2028} \"quotes\" \\ </script> \u{0007} e\u{301} 漢字\ttab\nline";
    // The built-in `two` and `subagents` read files of this machine.
    let two_reads = r#"tool [{"name":"Read","input":{"file_path":"@ROOT/outside/one.txt"}},
        {"name":"Read","input":{"file_path":"@ROOT/outside/two.txt"}}]"#;
    let two_agents = r#"tool [
        {"name":"Agent","input":{"description":"One","prompt":"read @ROOT/outside/one.txt","subagent_type":"general-purpose","run_in_background":false}},
        {"name":"Agent","input":{"description":"Two","prompt":"read @ROOT/outside/two.txt","subagent_type":"general-purpose","run_in_background":false}}]"#;
    vec![
        Flow::new("text", &["hello"]),
        Flow::new("unicode", &[unicode]),
        Flow::new("thinking", &["think"]),
        Flow::new("two_turns", &["hello", "think"]),
        Flow::new("help", &["help"]),
        Flow::new("tool_allow", &["touch allowed"]),
        Flow::new("tool_allow_edited", &["touch original"]).prompt(OnPrompt::AllowEdited),
        Flow::new("tool_allow_suggested", &["touch one", "touch two"]).prompt(OnPrompt::AllowSuggested),
        Flow::new("tool_deny", &["touch denied"]).prompt(OnPrompt::Deny),
        Flow::new("tool_deny_interrupt", &["touch denied", "hello"]).prompt(OnPrompt::DenyAndInterrupt),
        Flow::new("two_prompts", &[two_reads]).prompt(OnPrompt::TwoOpen),
        Flow::new("steps", &["steps"]),
        Flow::new("read", &["read @ROOT/outside/one.txt"]),
        Flow::new("write_file", &["write note.txt with some text"]),
        Flow::new("question", &["question"]).prompt(OnPrompt::Answer),
        Flow::new("plan", &["plan"]).args(&["--permission-mode", "plan"]),
        Flow::new("subagent", &["subagent"]),
        Flow::new("subagents", &[two_agents]).prompt(OnPrompt::TwoOpen),
        Flow::new("image", &[]).say(image),
        Flow::new("max_turns", &["loop"]).args(&["--max-turns", "2"]),
        Flow { client_tools: true, ..Flow::new("client_tool", &[r#"client add {"a":1,"b":2}"#]) },
        Flow::new("api_error", &["error", "hello"]),
        Flow::new("api_retry", &["overload"]),
        Flow::new("interrupt_text", &["slow", "hello"]).interrupt(InterruptAt::Text),
        Flow::new("interrupt_early", &["hang", "hello"]).interrupt(InterruptAt::Init),
        Flow::new("interrupt_prompt", &["touch never", "hello"]).prompt(OnPrompt::Interrupt),
        Flow::new("interrupt_tool", &["long", "hello"]).interrupt(InterruptAt::Tool),
        Flow::new("compact", &["hello", "/compact"]),
    ]
}

impl Flow {
    fn say(mut self, content: Value) -> Self {
        self.says.push(content);
        self
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let with_stdin = args.iter().any(|arg| arg == "--stdin");
    args.retain(|arg| arg != "--stdin");
    let [cli, out, wanted @ ..] = args.as_slice() else {
        return Err("usage: record CLI OUT_DIR [--stdin] [FLOW…]".into());
    };
    std::fs::create_dir_all(out)?;
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let model = ScriptedModel::start(Script::builtin(), &tracker, shutdown.clone()).await?;
    let mut failed = false;
    for flow in flows() {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == flow.name) {
            continue;
        }
        let mut recorder = Recorder::start(Path::new(cli), &model, &flow)?;
        let ended = tokio::time::timeout(FLOW_LIMIT, recorder.run(&flow)).await;
        let verdict = match ended {
            Ok(Ok(code)) => format!("exit {code:?}"),
            Ok(Err(error)) => format!("FAILED: {error}"),
            Err(_) => "FAILED: took too long".into(),
        };
        failed |= verdict.starts_with("FAILED");
        println!("{:22} {:4} lines  {verdict}", flow.name, recorder.out.len());
        recorder.save(Path::new(out), flow.name, with_stdin)?;
    }
    shutdown.cancel();
    if failed { Err("some flows failed".into()) } else { Ok(()) }
}

/// One CLI process in directories of its own.
struct Recorder {
    root: tempfile::TempDir,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Vec<String>,
    written: Vec<String>,
    open_prompts: Vec<Value>,
    text_deltas: usize,
    interrupted: bool,
}

impl Recorder {
    fn start(cli: &Path, model: &ScriptedModel, flow: &Flow) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("claude-ws-record-").tempdir()?;
        let [cwd, config, outside] = ["workspace", "config", "outside"].map(|name| root.path().join(name));
        for dir in [&cwd, &config, &outside] {
            std::fs::create_dir(dir)?;
        }
        for name in ["one", "two"] {
            std::fs::write(outside.join(format!("{name}.txt")), format!("This is file {name}.\n"))?;
        }
        let mut command = Command::new(cli);
        command
            .args(["--print", "--output-format", "stream-json", "--verbose", "--input-format", "stream-json"])
            .args([
                "--include-partial-messages",
                "--permission-prompt-tool",
                "stdio",
                "--setting-sources",
                "",
            ])
            .args(&flow.args)
            .current_dir(&cwd)
            .envs(model.env(&config))
            .env("HOME", &config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        for name in ENV_REMOVE {
            command.env_remove(name);
        }
        if flow.client_tools {
            command.args(["--mcp-config", r#"{"mcpServers":{"client":{"type":"sdk","name":"client"}}}"#]);
        }
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let (out, written, open_prompts) = (vec![], vec![], vec![]);
        Ok(Self { root, child, stdin, out, written, open_prompts, text_deltas: 0, interrupted: false })
    }

    async fn run(&mut self, flow: &Flow) -> Result<Option<i32>> {
        let stdout = self.child.stdout.take().ok_or("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let servers = if flow.client_tools { json!(["client"]) } else { json!([]) };
        let initialize = json!({"subtype": "initialize", "hooks": null, "sdkMcpServers": servers});
        self.control("init", &initialize).await?;
        let mut says: VecDeque<&Value> = flow.says.iter().collect();
        self.say(says.pop_front()).await?;
        while let Some(line) = lines.next_line().await? {
            let message: Value = serde_json::from_str(&line)?;
            self.out.push(line);
            self.react(flow, &message).await?;
            if message["type"] == "result" {
                match says.pop_front() {
                    Some(next) => self.say(Some(next)).await?,
                    None => self.stdin = None,
                }
            }
        }
        Ok(self.child.wait().await?.code())
    }

    async fn react(&mut self, flow: &Flow, message: &Value) -> Result<()> {
        let interrupt_now = match message["type"].as_str() {
            Some("control_request") => return self.request(flow, message).await,
            Some("control_cancel_request") => {
                self.open_prompts.retain(|open| open["request_id"] != message["request_id"]);
                false
            }
            Some("system") => flow.interrupt == InterruptAt::Init && message["subtype"] == "init",
            Some("stream_event") => {
                self.text_deltas += usize::from(message["event"]["delta"]["type"] == "text_delta");
                flow.interrupt == InterruptAt::Text && self.text_deltas == 5
            }
            _ => false,
        };
        if interrupt_now && !self.interrupted {
            self.interrupt().await?;
        }
        Ok(())
    }

    async fn request(&mut self, flow: &Flow, message: &Value) -> Result<()> {
        match message["request"]["subtype"].as_str() {
            Some("can_use_tool") => {
                self.open_prompts.push(message.clone());
                self.prompt(flow).await
            }
            Some("mcp_message") => {
                let response = mcp_response(&message["request"]["message"]);
                self.respond(message, &json!({ "mcp_response": response })).await
            }
            other => Err(format!("unexpected control request {other:?}").into()),
        }
    }

    async fn prompt(&mut self, flow: &Flow) -> Result<()> {
        if flow.prompt == OnPrompt::TwoOpen && self.open_prompts.len() < 2 {
            return Ok(());
        }
        if flow.prompt == OnPrompt::Interrupt {
            return self.interrupt().await;
        }
        while let Some(prompt) = self.open_prompts.pop() {
            let input = &prompt["request"]["input"];
            let allow = |input: &Value| json!({"behavior": "allow", "updatedInput": input});
            let deny = json!({"behavior": "deny", "message": "Not on my watch: \u{1F6D1} use another way"});
            let answer = match flow.prompt {
                OnPrompt::Deny => deny,
                OnPrompt::TwoOpen if self.open_prompts.is_empty() => deny,
                OnPrompt::DenyAndInterrupt => {
                    json!({"behavior": "deny", "message": "stop", "interrupt": true})
                }
                OnPrompt::AllowEdited => allow(&json!({"command": "touch edited"})),
                OnPrompt::AllowSuggested => {
                    let mut rules = prompt["request"]["permission_suggestions"].clone();
                    for rule in rules.as_array_mut().into_iter().flatten() {
                        rule["destination"] = json!("session");
                    }
                    json!({"behavior": "allow", "updatedInput": input, "updatedPermissions": rules})
                }
                OnPrompt::Answer => allow(&answered(input)),
                OnPrompt::Allow | OnPrompt::TwoOpen | OnPrompt::Interrupt => allow(input),
            };
            self.respond(&prompt, &answer).await?;
        }
        if flow.interrupt == InterruptAt::Tool {
            self.wait_for_file("long-running").await;
            self.interrupt().await?;
        }
        Ok(())
    }

    /// The tool's own sign that it runs.
    async fn wait_for_file(&self, name: &str) {
        let file = self.root.path().join("workspace").join(name);
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn interrupt(&mut self) -> Result<()> {
        self.interrupted = true;
        self.control("stop", &json!({"subtype": "interrupt"})).await
    }

    async fn say(&mut self, content: Option<&Value>) -> Result<()> {
        let mut message = json!({"role": "user", "content": content});
        if let Some(text) = content.and_then(Value::as_str) {
            message["content"] = text.replace("@ROOT", &self.root.path().to_string_lossy()).into();
        }
        self.write(&json!({"type": "user", "message": message, "parent_tool_use_id": null, "session_id": ""}))
            .await
    }

    async fn control(&mut self, id: &str, request: &Value) -> Result<()> {
        self.write(&json!({"type": "control_request", "request_id": id, "request": request})).await
    }

    async fn respond(&mut self, to: &Value, response: &Value) -> Result<()> {
        let response = json!({"subtype": "success", "request_id": to["request_id"], "response": response});
        self.write(&json!({"type": "control_response", "response": response})).await
    }

    async fn write(&mut self, line: &Value) -> Result<()> {
        let line = line.to_string();
        let stdin = self.stdin.as_mut().ok_or("stdin is closed")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await?;
        self.written.push(line);
        Ok(())
    }

    fn save(&self, out: &Path, name: &str, with_stdin: bool) -> Result<()> {
        std::fs::write(out.join(format!("{name}.jsonl")), self.scrubbed(&self.out))?;
        if with_stdin {
            std::fs::write(out.join(format!("{name}.stdin.jsonl")), self.scrubbed(&self.written))?;
        }
        Ok(())
    }

    /// The lines, with this run's directories replaced.
    fn scrubbed(&self, lines: &[String]) -> String {
        let root = self.root.path().to_string_lossy().into_owned();
        let real: PathBuf = self.root.path().canonicalize().unwrap_or_default();
        // The CLI makes directory names of paths this way.
        let slug = |path: &str| path.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let mut text = lines.join("\n") + "\n";
        for root in [real.to_string_lossy().into_owned(), root] {
            let tmp = std::env::temp_dir().to_string_lossy().into_owned();
            text = text
                .replace(&slug(&format!("{root}/workspace")), "-workspace")
                .replace(&format!("{root}/"), "/");
            text = text.replace(&format!("{tmp}/claude-"), "/tmp/claude-");
        }
        text
    }
}

/// The input of an `AskUserQuestion`, with the first option of each question as its answer.
fn answered(input: &Value) -> Value {
    let mut answered = input.clone();
    let questions = input["questions"].as_array().map_or(&[][..], Vec::as_slice);
    for question in questions {
        if let Some(text) = question["question"].as_str() {
            answered["answers"][text] = question["options"][0]["label"].clone();
        }
    }
    answered
}

/// What a front end with one tool, `add`, answers.
fn mcp_response(message: &Value) -> Value {
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "client", "version": "1"}}),
        Some("tools/list") => json!({"tools": [{
            "name": "add", "description": "Adds two numbers",
            "inputSchema": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}}]}),
        Some("tools/call") => {
            let arguments = &message["params"]["arguments"];
            let sum = arguments["a"].as_f64().unwrap_or(0.0) + arguments["b"].as_f64().unwrap_or(0.0);
            json!({"content": [{"type": "text", "text": sum.to_string()}]})
        }
        _ => json!({}),
    };
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
}
