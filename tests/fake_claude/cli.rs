//! A stand-in for the Claude Code CLI that misbehaves on demand: for tests of faults that the real one cannot be told to
//! make. It speaks the CLI's protocol (2.1.330's shapes) well enough for whole sessions.
//!
//! # What it does with a message
//! A text that begins with `!` is a list of commands, separated by `;`, that make up the turn (see [`turn`]):
//! `!think Hm; text Hello; ask Bash {"command":"ls"}`. Any other text is answered with `echo: <text>`.
//! Unless a command says otherwise, the turn ends with one `result`. `/clear` begins another conversation, `/model NAME` and
//! `/effort NAME` change those, as in the CLI. Messages with a `uuid` are named in `command_lifecycle` and `result`, but for 2.1.197.
//!
//! # Environment
//! - `FAKE_CLAUDE_SCRIPT`: JSON, or `@FILE` with JSON in it (read at each start, so that a test can change it):
//!   - `"start": ["sleep 500", "stderr 100000", "refuse 1 No luck", "refuse-times 3 1 Not yet", …]`: before anything is
//!     read. Every command of a turn may stand here too.
//!   - `"ignore": ["interrupt", "sigterm", "initialize", "close"]`: the last one lives on when stdin ends.
//!   - `"turns": [["text one"], ["crash 3"]]`: the turns of this process, in order; `"turn": […]` for all after those.
//!     They are for messages without `!`.
//!   - `"version": "2.1.197"`: for `--version` and `init`.
//! - `FAKE_CLAUDE_STATE`: a directory that keeps what outlives a process: which conversations exist (`--session-id` of an
//!   existing one and `--resume` of an unknown one fail like the CLI's), how often it was started, and in `agents` a line for
//!   each start: conversation, process id, and those of the same conversation that were alive then. Without it every resume works.

mod speak;
mod turn;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// From now on stdin is not read.
static DEAF: AtomicBool = AtomicBool::new(false);

fn main() {
    let script = script();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--version") {
        println!("{} (Claude Code)", script["version"].as_str().unwrap_or("2.1.330"));
        return;
    }
    let mut cli = Cli::new(script, &arguments);
    for what in cli.script["ignore"].as_array().cloned().unwrap_or_default() {
        cli.ignore(what.as_str().unwrap_or_default());
    }
    for command in commands(&cli.script["start"]) {
        cli.command(&command);
    }
    cli.sign_in();
    cli.open_conversation();
    cli.run();
}

fn script() -> Value {
    let text = std::env::var("FAKE_CLAUDE_SCRIPT").unwrap_or_default();
    let text = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).unwrap_or_default(),
        None => text,
    };
    if text.trim().is_empty() {
        json!({})
    } else {
        serde_json::from_str(&text).expect("FAKE_CLAUDE_SCRIPT is JSON")
    }
}

fn commands(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|command| Some(command.as_str()?.to_owned())).collect()
}

/// A user message.
#[derive(Debug, Default)]
struct Message {
    text: String,
    uuid: Option<String>,
}

/// The process.
struct Cli {
    script: Value,
    arguments: Vec<String>,
    session_id: String,
    model: Option<String>,
    effort: Option<String>,
    /// The `uuid` of the message that the running turn is about.
    message: Option<String>,
    /// Turns of its own that it begins as soon as the next message has come, before that one; each the words that it says.
    due: VecDeque<turn::Due>,
    /// Set by `--resume`; a conversation exists once it has a message.
    state: Option<PathBuf>,
    input: Receiver<Value>,
    input_ended: bool,
    ignored: HashSet<String>,
    /// User messages that wait for their turn.
    queue: VecDeque<Message>,
    /// Control responses by `request_id`.
    answers: HashMap<String, Value>,
    /// An interrupt came and was not taken up yet.
    interrupted: bool,
    /// The text of the message that is being streamed.
    partial: Option<String>,
    /// Makes ids.
    counter: u64,
    turns: usize,
    last_was_error: bool,
    /// When the turn began.
    began: Instant,
}

impl Cli {
    fn new(script: Value, arguments: &[String]) -> Self {
        let (sender, input) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                while DEAF.load(Ordering::Relaxed) {
                    std::thread::park();
                }
                if line.is_empty() {
                    continue;
                }
                match serde_json::from_str(&line) {
                    Ok(value) => {
                        if sender.send(value).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        eprintln!("Error parsing streaming input line: {line}: {error}");
                        exit(1);
                    }
                }
            }
        });
        let mut cli = Self {
            script,
            arguments: arguments.to_vec(),
            session_id: String::new(),
            model: None,
            effort: None,
            message: None,
            due: VecDeque::new(),
            state: std::env::var_os("FAKE_CLAUDE_STATE").map(PathBuf::from),
            input,
            input_ended: false,
            ignored: HashSet::new(),
            queue: VecDeque::new(),
            answers: HashMap::new(),
            interrupted: false,
            partial: None,
            counter: 0,
            turns: 0,
            last_was_error: false,
            began: Instant::now(),
        };
        let id = cli.option("session-id").or_else(|| cli.option("resume"));
        cli.session_id = id.unwrap_or_else(|| "00000000-0000-4000-8000-000000000000".into());
        (cli.model, cli.effort) = (cli.option("model"), cli.option("effort"));
        cli
    }

    /// The value of `--name=value` or `--name value`.
    fn option(&self, name: &str) -> Option<String> {
        let (flag, prefix) = (format!("--{name}"), format!("--{name}="));
        self.arguments.iter().enumerate().find_map(|(index, argument)| {
            let next = || self.arguments.get(index + 1).cloned();
            if *argument == flag { next() } else { argument.strip_prefix(&prefix).map(str::to_owned) }
        })
    }

    fn conversation_file(&self) -> Option<PathBuf> {
        Some(self.state.as_ref()?.join(format!("conversation-{}", self.session_id)))
    }

    /// Notes who else speaks for this conversation: with one agent for each, nobody.
    fn sign_in(&self) {
        let Some(state) = &self.state else { return };
        let path = state.join("agents");
        let Ok(file) = std::fs::OpenOptions::new().create(true).append(true).read(true).open(&path) else {
            return;
        };
        // Held until the line is written, so that of two that start at once one sees the other.
        if file.lock().is_err() {
            return;
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let mine = before.lines().filter_map(|line| line.strip_prefix(self.session_id.as_str()));
        let others = mine.filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok());
        let alive: Vec<_> = others.filter(|pid| is_alive(*pid)).map(|pid| pid.to_string()).collect();
        let line = format!("{} {} {}\n", self.session_id, std::process::id(), alive.join(" "));
        let _ = (&file).write_all(line.as_bytes());
    }

    /// Fails as the CLI does when the conversation is there and should not be, or the other way round.
    fn open_conversation(&mut self) {
        let Some(exists) = self.conversation_file().map(|file| file.exists()) else {
            return;
        };
        let id = self.session_id.clone();
        if exists && self.option("resume").is_none() {
            eprintln!("Error: Session ID {id} is already in use.");
            exit(1);
        }
        if let Some(resume) = self.option("resume") {
            let file = self.state.as_ref().map(|state| state.join(format!("conversation-{resume}")));
            if !file.is_some_and(|file| file.exists()) {
                eprintln!("No conversation found with session ID: {resume}");
                self.result_error(&format!("No conversation found with session ID: {resume}"));
                exit(1);
            }
        }
    }

    fn run(&mut self) {
        loop {
            match self.queue.pop_front() {
                Some(message) => {
                    let folded = self.own_turns(&message);
                    if !folded {
                        self.turn(message);
                    }
                }
                None if self.input_ended && !self.ignored.contains("close") => {
                    exit(i32::from(self.last_was_error))
                }
                None => self.listen(Duration::from_hours(1)),
            }
        }
    }

    /// Whether it tells what becomes of messages, as newer versions do.
    fn is_new(&self) -> bool {
        self.script["version"] != "2.1.197"
    }

    fn turn(&mut self, message: Message) {
        let Message { text, uuid } = message;
        self.lifecycle(uuid.as_deref(), "started");
        self.message.clone_from(&uuid);
        self.run_turn(&text);
        self.message = None;
        self.lifecycle(uuid.as_deref(), "completed");
    }

    fn run_turn(&mut self, text: &str) {
        if self.slash_command(text) {
            return;
        }
        if let Some(file) = self.conversation_file() {
            let _ = std::fs::write(file, "");
        }
        self.began = Instant::now();
        self.interrupted = false;
        self.emit_init();
        let list = self.turn_commands(text);
        self.turns += 1;
        let mut open = true;
        for command in list {
            match self.command(&command) {
                turn::Flow::On => {}
                turn::Flow::Ended => open = false,
                turn::Flow::Interrupted => {
                    self.emit_interrupted();
                    return;
                }
            }
        }
        if open {
            self.result_success();
        }
    }

    fn turn_commands(&self, text: &str) -> Vec<String> {
        if let Some(list) = text.strip_prefix('!') {
            return list.split(';').map(|command| command.trim().to_owned()).collect();
        }
        let scripted = match &self.script["turns"][self.turns] {
            Value::Null => &self.script["turn"],
            turn => turn,
        };
        if scripted.is_array() { commands(scripted) } else { vec![format!("text echo: {text}")] }
    }

    /// Takes one line from stdin, or waits that long for it.
    fn listen(&mut self, time: Duration) {
        if self.input_ended {
            std::thread::sleep(time);
            return;
        }
        match self.input.recv_timeout(time) {
            Ok(line) => self.heard(&line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.input_ended = true,
        }
    }

    fn heard(&mut self, line: &Value) {
        match line["type"].as_str() {
            Some("user") => {
                let uuid = line["uuid"].as_str().map(str::to_owned);
                self.lifecycle(uuid.as_deref(), "queued");
                self.queue.push_back(Message { text: text_of(&line["message"]["content"]), uuid });
            }
            Some("control_request") => self.requested(line),
            Some("control_response") => {
                let id = line["response"]["request_id"].as_str().unwrap_or_default();
                self.answers.insert(id.to_owned(), line["response"].clone());
            }
            _ => eprintln!("Unknown input: {line}"),
        }
    }

    fn requested(&mut self, line: &Value) {
        let subtype = line["request"]["subtype"].as_str().unwrap_or_default();
        if self.ignored.contains(subtype) {
            return;
        }
        let answer = match subtype {
            "initialize" => json!({"commands": [], "output_style": "default", "models": [], "account": {}}),
            "interrupt" => {
                self.interrupted = true;
                let cancels = line["request"]["cancel_queued"] == true && self.is_new();
                let gone = if cancels { std::mem::take(&mut self.queue) } else { VecDeque::new() };
                let gone: Vec<_> = gone.into_iter().filter_map(|message| message.uuid).collect();
                for uuid in &gone {
                    self.lifecycle(Some(uuid), "cancelled");
                }
                json!({"still_queued": [], "cancelled": gone})
            }
            "get_settings" => {
                let effort = self.effort.as_deref().unwrap_or("medium");
                json!({"effective": {}, "sources": [], "applied": {"model": self.model(), "effort": effort}})
            }
            "mcp_status" => json!({"mcpServers": []}),
            "set_model" | "set_permission_mode" | "set_max_thinking_tokens" | "apply_flag_settings" => {
                json!({})
            }
            _ => {
                let error = format!("Unsupported control request subtype: {subtype}");
                self.emit(&json!({"type":"control_response","response":
                    {"subtype":"error","request_id":line["request_id"],"error":error}}));
                return;
            }
        };
        self.emit(&json!({"type":"control_response","response":
            {"subtype":"success","request_id":line["request_id"],"response":answer}}));
    }

    fn ignore(&mut self, what: &str) {
        self.ignored.insert(what.to_owned());
        if what == "sigterm" {
            turn::ignore_sigterm();
        }
    }
}

/// Whether a process runs, and is not just waiting to be reaped.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}
