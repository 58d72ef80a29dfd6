//! A model of Claude Code: hears lines, says lines, one small step at a time, and misbehaves when it is told to.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::dice::Dice;
use crate::agent::Exit;

/// How an agent is made.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(super) struct Manners {
    pub(super) answers_greeting: bool,
    pub(super) heeds_interrupts: bool,
    pub(super) refuses_settings: bool,
    /// Refuses this control request only.
    pub(super) refuses: Option<&'static str>,
    pub(super) repeats_results: bool,
    /// Stops saying anything in the middle of a turn.
    pub(super) hangs: bool,
    /// Leaves out the `message_stop` of an interrupted message, as 2.1.197 does.
    pub(super) old: bool,
    /// Calls tools and asks; otherwise its turns are one short text.
    pub(super) works: bool,
    /// Says what becomes of messages, and begins turns of its own though one waits, as 2.1.330 does.
    pub(super) names: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            answers_greeting: true,
            heeds_interrupts: true,
            refuses_settings: false,
            refuses: None,
            repeats_results: false,
            hangs: false,
            old: false,
            works: false,
            names: false,
        }
    }
}

/// What it does next in its turn.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Say(Value),
    /// Asks whether a tool may run.
    Ask {
        tool_use_id: String,
        tool: String,
        input: Value,
        suggestions: Value,
    },
    /// Calls a tool of the front end's.
    Call {
        tool_use_id: String,
    },
    /// Waits for the answers about these tools, then says their results.
    Results(Vec<String>),
    End,
}

#[derive(Debug)]
pub(super) struct ModelAgent {
    pub(super) manners: Manners,
    /// Said as soon as it may speak.
    out: VecDeque<Value>,
    turn: Option<VecDeque<Step>>,
    own_turn: bool,
    pub(super) queue: VecDeque<Value>,
    /// The `uuid`s of the messages in the queue, and of the one that the turn is about.
    uuids: VecDeque<String>,
    about: Option<String>,
    /// Prompts and calls that wait: request id and tool use.
    waiting: BTreeMap<String, String>,
    denied: Vec<String>,
    unfinished: Vec<String>,
    open_message: Option<String>,
    numbers: u64,
    going: bool,
    /// Everything that it heard, for tests that look.
    pub(super) heard: Vec<Value>,
}

impl ModelAgent {
    pub(super) fn new(manners: Manners, number: u64) -> Self {
        Self {
            manners,
            out: VecDeque::new(),
            turn: None,
            own_turn: false,
            queue: VecDeque::new(),
            uuids: VecDeque::new(),
            about: None,
            waiting: BTreeMap::new(),
            denied: Vec::new(),
            unfinished: Vec::new(),
            open_message: None,
            // Ids of different processes differ.
            numbers: number * 1_000_000,
            going: false,
            heard: Vec::new(),
        }
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.numbers += 1;
        format!("{prefix}{}", self.numbers)
    }

    pub(super) fn is_in_turn(&self) -> bool {
        self.turn.is_some()
    }

    pub(super) fn hear(&mut self, line: &Value) {
        self.heard.push(line.clone());
        match line["type"].as_str() {
            Some("user") => {
                let uuid = line["uuid"].as_str().expect("each delivery has a uuid").to_owned();
                self.news(&uuid, "queued");
                self.uuids.push_back(uuid);
                self.queue.push_back(line["message"]["content"].clone());
            }
            Some("control_request") => self.asked(line),
            Some("control_response") => self.answered(&line["response"]),
            other => panic!("the agent was told {other:?}"),
        }
    }

    fn news(&mut self, uuid: &str, state: &str) {
        if self.manners.names {
            self.out.push_back(json!({"type":"command_lifecycle","command_uuid":uuid,"state":state}));
        }
    }

    fn asked(&mut self, line: &Value) {
        let id = &line["request_id"];
        let ok = json!({"type":"control_response","response":{"subtype":"success","request_id":id}});
        match line["request"]["subtype"].as_str().unwrap() {
            "initialize" if self.manners.answers_greeting => self.out.push_back(ok),
            "initialize" => {}
            "interrupt" => {
                let mut ok = ok;
                if self.manners.names && line["request"]["cancel_queued"] == true {
                    self.queue.clear();
                    let gone = std::mem::take(&mut self.uuids);
                    ok["response"]["response"] = json!({"still_queued":[],"cancelled":gone});
                    for uuid in gone {
                        self.news(&uuid, "cancelled");
                    }
                }
                if self.manners.heeds_interrupts {
                    self.abort(Some(ok));
                } else {
                    self.out.push_back(ok);
                }
            }
            subtype if self.manners.refuses_settings || self.manners.refuses == Some(subtype) => {
                self.out.push_back(json!({"type":"control_response",
                "response":{"subtype":"error","request_id":id,"error":"no"}}));
            }
            _ => self.out.push_back(ok),
        }
    }

    fn answered(&mut self, response: &Value) {
        let Some(tool_use) = self.waiting.remove(response["request_id"].as_str().unwrap()) else { return };
        let body = &response["response"];
        if body["behavior"] == "allow" {
            assert!(body["updatedInput"].is_object(), "2.1.197 fails without it: {body}");
        } else if body["behavior"] == "deny" {
            assert!(body["message"].is_string());
            self.denied.push(tool_use);
            if body["interrupt"] == true && self.manners.heeds_interrupts {
                self.abort(None);
            }
        }
    }

    /// The turn is cut off.
    fn abort(&mut self, answer: Option<Value>) {
        for id in std::mem::take(&mut self.waiting).into_keys() {
            self.out.push_back(json!({"type":"control_cancel_request","request_id":id}));
        }
        self.out.extend(answer);
        if self.turn.take().is_none() {
            return;
        }
        for tool in std::mem::take(&mut self.unfinished) {
            self.out.push_back(tool_result(&tool, "rejected", true));
        }
        self.denied.clear();
        self.out.push_back(json!({"type":"user","message":{"role":"user",
            "content":[{"type":"text","text":"[Request interrupted by user]"}]}}));
        if self.open_message.take().is_some() && !self.manners.old {
            self.out.push_back(event(&json!({"type":"message_delta","delta":{"stop_reason":null}}), None));
            self.out.push_back(event(&json!({"type":"message_stop"}), None));
        }
        let mut result = self.result("error_during_execution", true);
        result["terminal_reason"] = json!("aborted_streaming");
        self.say_result(result);
    }

    /// It was told to go; `now`: it is gone.
    pub(super) fn stop(&mut self, now: bool) -> Option<Exit> {
        if now {
            return Some(Exit { signal: Some(9), killed: true, requested: true, ..Exit::default() });
        }
        if !self.going {
            self.going = true;
            self.queue.clear();
            self.uuids.clear();
            self.abort(None);
        }
        None
    }

    pub(super) fn is_going(&self) -> bool {
        self.going
    }

    /// Begins a turn that nobody asked for.
    pub(super) fn begin_own_turn(&mut self, steps: VecDeque<Step>) {
        if self.turn.is_none() && (self.manners.names || self.queue.is_empty()) && !self.going {
            self.own_turn = true;
            self.about = None;
            if !self.manners.names || steps.len().is_multiple_of(2) {
                self.out.push_back(task_done());
            }
            self.begin(steps);
        }
    }

    /// A task in the background comes to its end in the middle of a turn, before the model is asked something.
    pub(super) fn hears_of_a_task(&mut self) {
        self.out.push_back(task_done());
        self.out.push_back(json!({"type":"system","subtype":"status","status":"requesting"}));
    }

    fn begin(&mut self, steps: VecDeque<Step>) {
        self.out.push_back(init());
        self.turn = Some(steps);
    }

    /// From here on its turn goes like this.
    pub(super) fn script(&mut self, steps: Vec<Step>) {
        assert!(self.turn.is_some());
        self.turn = Some(steps.into());
    }

    /// Asks about a tool of a subagent that goes on in the background, whatever else happens.
    pub(super) fn ask_in_background(&mut self) {
        let tool = self.fresh("toolu_bg");
        let step = self.ask(&tool, "Bash", &json!({"command":"background"}), &json!([]));
        self.out.push_back(step);
    }

    fn ask(&mut self, tool_use_id: &str, tool: &str, input: &Value, suggestions: &Value) -> Value {
        let id = self.fresh("ask");
        self.waiting.insert(id.clone(), tool_use_id.to_owned());
        json!({"type":"control_request","request_id":id,"request":{"subtype":"can_use_tool","tool_name":tool,
            "input":input,"tool_use_id":tool_use_id,"permission_suggestions":suggestions}})
    }

    /// The next line, if it has one to say now.
    pub(super) fn speak(&mut self, dice: &mut Dice) -> Option<Value> {
        if let Some(line) = self.out.pop_front() {
            return Some(line);
        }
        if self.turn.is_none() {
            let _content = self.queue.pop_front()?;
            self.about = self.uuids.pop_front();
            if let Some(uuid) = self.about.clone() {
                self.news(&uuid, "started");
            }
            let steps = self.turn_of(dice);
            self.own_turn = false;
            self.begin(steps);
            return self.out.pop_front();
        }
        if self.manners.hangs && dice.one_in(4) {
            return None;
        }
        let step = self.turn.as_ref()?.front()?.clone();
        if let Step::Results(tools) = &step
            && self.waiting.values().any(|waiting| tools.contains(waiting))
        {
            return None;
        }
        self.turn.as_mut()?.pop_front();
        self.perform(step);
        self.out.pop_front()
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Say(line) => {
                match line["event"]["type"].as_str() {
                    Some("message_start") if line["parent_tool_use_id"].is_null() => {
                        self.open_message = Some(line["event"]["message"]["id"].to_string());
                    }
                    Some("message_stop") if line["parent_tool_use_id"].is_null() => self.open_message = None,
                    _ => {}
                }
                if let Some(id) = line["message"]["content"][0]["id"].as_str() {
                    self.unfinished.push(id.to_owned());
                }
                self.out.push_back(line);
            }
            Step::Ask { tool_use_id, tool, input, suggestions } => {
                let line = self.ask(&tool_use_id, &tool, &input, &suggestions);
                self.out.push_back(line);
            }
            Step::Call { tool_use_id } => {
                let id = self.fresh("call");
                self.waiting.insert(id.clone(), tool_use_id.clone());
                self.out.push_back(
                    json!({"type":"control_request","request_id":id,"request":{"subtype":"mcp_message",
                    "server_name":"client","message":{"jsonrpc":"2.0","id":1,"method":"tools/call",
                    "params":{"name":"look","arguments":{},"_meta":{"claudecode/toolUseId":tool_use_id}}}}}),
                );
            }
            Step::Results(tools) => {
                for tool in tools {
                    let denied = self.denied.contains(&tool);
                    self.out.push_back(tool_result(&tool, if denied { "denied" } else { "done" }, denied));
                    self.unfinished.retain(|unfinished| *unfinished != tool);
                }
            }
            Step::End => {
                self.turn = None;
                self.denied.clear();
                self.unfinished.clear();
                let mut result = self.result("success", false);
                if self.own_turn && !self.manners.names {
                    result["origin"] = json!({"kind":"task-notification"});
                }
                self.say_result(result);
            }
        }
    }

    fn result(&mut self, subtype: &str, is_error: bool) -> Value {
        let uuid = self.fresh("result");
        json!({"type":"result","subtype":subtype,"is_error":is_error,"duration_ms":7,"num_turns":1,
            "total_cost_usd":0.5,"result":"text","uuid":uuid})
    }

    fn say_result(&mut self, mut result: Value) {
        let about = self.about.take();
        if let Some(uuid) = about.as_ref().filter(|_| self.manners.names) {
            result["user_message_uuid"] = json!(uuid);
            result["user_message_uuids"] = json!([uuid]);
        }
        if self.manners.repeats_results {
            self.out.push_back(result.clone());
        }
        self.out.push_back(result);
        if let Some(uuid) = about {
            self.news(&uuid, "completed");
        }
    }

    /// A turn of a few messages, with text, tools and questions as the dice fall.
    pub(super) fn turn_of(&mut self, dice: &mut Dice) -> VecDeque<Step> {
        let mut steps = VecDeque::new();
        let messages = if self.manners.works { dice.below(3) } else { 0 };
        for _ in 0..messages {
            self.message(dice, &mut steps);
        }
        steps.extend(self.text("The end."));
        steps.push_back(Step::End);
        steps
    }

    /// Steps of a message that only has text.
    pub(super) fn text(&mut self, text: &str) -> Vec<Step> {
        let id = self.fresh("msg");
        let say = |value: &Value| Step::Say(event(value, None));
        vec![
            say(&json!({"type":"message_start","message":{"id":id,"model":"m"}})),
            say(&json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})),
            say(&json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":text}})),
            Step::Say(json!({"type":"assistant","message":{"id":id,"model":"m",
                "content":[{"type":"text","text":text}]}})),
            say(&json!({"type":"content_block_stop","index":0})),
            say(&json!({"type":"message_delta","delta":{"stop_reason":"end_turn"}})),
            say(&json!({"type":"message_stop"})),
        ]
    }

    /// Steps of a message that calls `tool`, of the asking, and of the result.
    pub(super) fn tool(&mut self, tool: &str, input: &Value, suggestions: &Value) -> Vec<Step> {
        let (id, tool_use_id) = (self.fresh("msg"), self.fresh("toolu"));
        let mut steps = vec![
            Step::Say(event(&json!({"type":"message_start","message":{"id":id,"model":"m"}}), None)),
            Step::Say(json!({"type":"assistant","message":{"id":id,"model":"m",
                "content":[{"type":"tool_use","id":tool_use_id,"name":tool,"input":input}]}})),
        ];
        let (tool, input, suggestions) = (tool.to_owned(), input.clone(), suggestions.clone());
        steps.push(Step::Ask { tool_use_id: tool_use_id.clone(), tool, input, suggestions });
        steps.push(Step::Say(event(&json!({"type":"message_stop"}), None)));
        steps.push(Step::Results(vec![tool_use_id]));
        steps
    }

    fn message(&mut self, dice: &mut Dice, steps: &mut VecDeque<Step>) {
        let id = self.fresh("msg");
        let say = |value: &Value| Step::Say(event(value, None));
        steps.push_back(say(&json!({"type":"message_start","message":{"id":id,"model":"m"}})));
        if dice.one_in(2) {
            let text = "word ".repeat(1 + dice.below(4));
            let delta = json!({"type":"text_delta","text":text});
            steps.push_back(say(&json!({"type":"content_block_delta","index":0,"delta":delta})));
            steps.push_back(Step::Say(json!({"type":"assistant","message":{"id":id,"model":"m",
                "content":[{"type":"text","text":text}]}})));
        }
        let mut tools = Vec::new();
        for _ in 0..dice.below(3) {
            let tool_use_id = self.fresh("toolu");
            let (name, input) = match dice.below(4) {
                0 => ("AskUserQuestion", json!({"questions":[]})),
                1 => ("mcp__client__look", json!({})),
                _ => ("Bash", json!({"command":format!("c{}", dice.below(3))})),
            };
            steps.push_back(Step::Say(json!({"type":"assistant","message":{"id":id,"model":"m",
                "content":[{"type":"tool_use","id":tool_use_id,"name":name,"input":input}]}})));
            if name != "Bash" || dice.one_in(2) {
                let suggestions = match dice.below(3) {
                    0 => json!([]),
                    1 => json!([{"type":"setMode","mode":"acceptEdits","destination":"session"}]),
                    _ => json!([{"type":"addRules","behavior":"allow","destination":"localSettings",
                        "rules":[{"toolName":"Bash","ruleContent":"c:*"}]}]),
                };
                let (tool_use_id, tool) = (tool_use_id.clone(), name.to_owned());
                steps.push_back(Step::Ask { tool_use_id, tool, input, suggestions });
            }
            if name == "mcp__client__look" {
                steps.push_back(Step::Results(Vec::new()));
                steps.push_back(Step::Call { tool_use_id: tool_use_id.clone() });
            }
            tools.push(tool_use_id);
        }
        if !dice.one_in(8) {
            let reason = if tools.is_empty() { "end_turn" } else { "tool_use" };
            steps.push_back(say(&json!({"type":"message_delta","delta":{"stop_reason":reason}})));
            steps.push_back(say(&json!({"type":"message_stop"})));
        }
        if let (Some(parent), true) = (tools.first(), dice.one_in(3)) {
            let sub = self.fresh("msg");
            let start = json!({"type":"message_start","message":{"id":sub,"model":"m"}});
            steps.push_back(Step::Say(event(&start, Some(parent))));
            steps.push_back(Step::Say(json!({"type":"assistant","parent_tool_use_id":parent,
                "message":{"id":sub,"model":"m","content":[{"type":"text","text":"sub"}]}})));
        }
        steps.push_back(Step::Results(tools));
    }
}

fn init() -> Value {
    json!({"type":"system","subtype":"init","model":"m","permissionMode":"default","tools":[],
        "claude_code_version":"0","session_id":"s"})
}

fn event(event: &Value, parent: Option<&str>) -> Value {
    json!({"type":"stream_event","event":event,"parent_tool_use_id":parent})
}

fn task_done() -> Value {
    json!({"type":"system","subtype":"task_notification","task_id":"t","status":"completed"})
}

fn tool_result(tool_use_id: &str, text: &str, is_error: bool) -> Value {
    json!({"type":"user","message":{"role":"user","content":[{"type":"tool_result",
        "tool_use_id":tool_use_id,"content":text,"is_error":is_error}]}})
}
