//! Permission prompts and questions: asked by the agent, answered by people, each by its own id.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Instant;

use serde_json::value::RawValue;

use super::rules::for_agent;
use super::{Asker, Effect, SessionState, error};
use crate::agent::{control, wire};
use crate::protocol::{
    Cancelled, ClientToolResult, Decision, ErrorCode, EventSink, Json, PermissionContext, PermissionMode,
    PermissionRequest, PermissionResolved, PermissionResponse, Resolution, ResolvedBy, RiskLevel, RuleUpdate,
    ServerMessage,
};
use crate::session::journal::Journal;
use crate::session::plans::EXIT_PLAN_MODE;
use crate::session::record::fingerprint;
use crate::session::words;

/// The tool by which the model asks people something.
const QUESTION: &str = "AskUserQuestion";
/// Calls that are people's decision each time, whatever was decided before: a question, and the end of a plan.
const NEVER_ALWAYS: [&str; 2] = [QUESTION, EXIT_PLAN_MODE];
const DENIED: &str = "The user does not allow this.";
const CANCELLED: &str = "The user cancelled this request.";
const STOPPED: &str = "The user has stopped this turn.";
const TURN_OVER: &str = "The turn is over.";
const TIMED_OUT: &str = "Nobody answered the permission request in time.";

/// Calls that are remembered as allowed always.
const MAX_ALWAYS: usize = 4096;

/// Open prompts in the order they were asked, and the calls that need no asking any more.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    open: Vec<Prompt>,
    /// Tool and fingerprint of the input of every `allow_always`.
    always: HashSet<(String, String)>,
}

#[derive(Debug)]
struct Prompt {
    /// The event's id, by which clients answer.
    id: String,
    /// By which the agent is answered.
    agent_id: String,
    tool_name: String,
    tool_input: Json<'static>,
    tool_use_id: String,
    suggestions: Vec<Json<'static>>,
    /// The event as clients got it, for those who attach later.
    frame: Json<'static>,
    deadline: Option<Instant>,
    /// Unix milliseconds.
    asked_at: u64,
}

impl Prompts {
    pub(super) fn new(always: Vec<(String, String)>) -> Self {
        Self { open: Vec::new(), always: always.into_iter().collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The open `permission_request` messages, oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Json<'static>> {
        self.open.iter().map(|prompt| &prompt.frame)
    }

    /// The calls that they are about.
    pub(super) fn calls(&self) -> impl Iterator<Item = &str> {
        self.open.iter().map(|prompt| prompt.tool_use_id.as_str())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.open.iter().map(|prompt| prompt.id.as_str())
    }

    /// When the oldest open one was asked, Unix milliseconds.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.open.first().map(|prompt| prompt.asked_at)
    }

    pub(super) fn always(&self) -> Vec<(String, String)> {
        self.always.iter().cloned().collect()
    }

    /// Whether the very same call was allowed always.
    fn covers(&self, tool_name: &str, input: &Json<'_>) -> bool {
        !self.always.is_empty()
            && !NEVER_ALWAYS.contains(&tool_name)
            && self.always.contains(&(tool_name.to_owned(), fingerprint(input.get())))
    }

    /// From now on that call needs no asking.
    fn cover(&mut self, tool_name: &str, input: &Json<'_>) {
        // More than anyone clicks; what is beyond is asked again.
        if self.always.len() < MAX_ALWAYS && !NEVER_ALWAYS.contains(&tool_name) {
            self.always.insert((tool_name.to_owned(), fingerprint(input.get())));
        }
    }

    /// Calls of tools that a rule for `tool` is about are asked about again.
    pub(super) fn revoke(&mut self, tool: &str) {
        self.always.retain(|(name, _)| !is_about(tool, name));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().filter_map(|prompt| prompt.deadline).min()
    }

    fn take(&mut self, wanted: impl FnMut(&Prompt) -> bool) -> Option<Prompt> {
        self.open.iter().position(wanted).map(|at| self.open.remove(at))
    }
}

/// What the agent is told about a prompt.
enum Verdict {
    Allow { input: Option<Json<'static>>, updates: Vec<RuleUpdate> },
    Deny { message: String, interrupt: bool },
}

impl Verdict {
    fn updates_rules(&self) -> bool {
        matches!(self, Self::Allow { updates, .. } if !updates.is_empty())
    }
}

impl SessionState {
    /// The agent asks whether a tool may run.
    pub(super) fn prompted(&mut self, agent_id: &str, ask: &wire::CanUseTool<'_>) {
        let input =
            ask.input.object().map_or_else(Json::empty_object, |raw| Json::borrowed(raw).into_owned());
        let tool_name = ask.tool_name.text().unwrap_or_default();
        let tool_use_id = ask.tool_use_id.text().unwrap_or_default();
        let input = self.journal.plans().complete(&tool_use_id, input);
        let is_beside = self.journal.is_made_beside(&tool_use_id);
        if !is_beside && self.turn.as_ref().is_some_and(|turn| turn.is_stopping() && !turn.is_pending()) {
            // It has missed the interrupt, or not come to it. Whoever wanted the turn to stop has answered this, too.
            self.tell(control::deny(agent_id, STOPPED, true));
        } else if self.client_tools.owns(&tool_name) {
            // The front end that offered the tool is the one that runs it: it decides by running it or not.
            self.tell(control::allow(agent_id, input.raw(), &[]));
        } else if self.prompts.covers(&tool_name, &input) {
            self.tell(control::allow(agent_id, input.raw(), &[]));
            let permission_id = self.next_message_id().to_string();
            self.resolved_by_itself(&permission_id, &tool_use_id, Resolution::Allow, ResolvedBy::Rule);
        } else if self.prompts.len() >= self.limits.max_prompts {
            log::warn!("session {}: too many prompts are open; one more was denied", self.id);
            self.tell(control::deny(agent_id, "Too many permission requests are open.", false));
        } else {
            self.open_prompt(agent_id, &tool_name, ask, input);
        }
    }

    fn open_prompt(
        &mut self,
        request_id: &str,
        tool_name: &str,
        ask: &wire::CanUseTool<'_>,
        input: Json<'static>,
    ) {
        let suggestions: Vec<Json<'static>> =
            ask.permission_suggestions.0.iter().filter_map(|one| one.object()).map(own).collect();
        let agent_id = ask.agent_id.text();
        let agent = agent_id.as_deref().and_then(|agent_id| self.converter.agent(agent_id));
        let (parent, agent) = agent.map_or((None, None), |(call, agent)| (Some(call), agent));
        let request = PermissionRequest {
            tool_name: tool_name.into(),
            tool_input: input.clone(),
            tool_use_id: ask.tool_use_id.text().unwrap_or_default(),
            parent_tool_use_id: parent.map(Into::into),
            agent,
            context: PermissionContext {
                description: description(tool_name, ask),
                risk_level: risk(tool_name, &input),
                suggestions: suggestions.clone(),
                reason: ask.decision_reason.text(),
                blocked_path: ask.blocked_path.text(),
            },
        };
        let tool_use_id = request.tool_use_id.to_string();
        let id = self.journal.event(&ServerMessage::PermissionRequest(request)).to_string();
        let frame = self.journal.last_frame().unwrap_or("{}").to_owned();
        self.prompts.open.push(Prompt {
            id,
            agent_id: request_id.to_owned(),
            tool_name: tool_name.to_owned(),
            tool_input: input,
            tool_use_id,
            suggestions,
            frame: Json::parse(frame).unwrap_or_else(|_| Json::empty_object()),
            deadline: self.limits.permission_timeout.map(|timeout| self.now.instant + timeout),
            asked_at: self.now.unix_ms,
        });
        self.busy();
        self.settle();
        self.effects.push(Effect::Persist);
    }

    /// `permission_response`.
    pub(super) fn permission_response(&mut self, asker: Asker, answer: PermissionResponse) {
        if self.is_forbidden(answer.updated_permissions.as_deref().unwrap_or_default()) {
            self.reply(&asker, error(ErrorCode::Forbidden, super::rules::BYPASS_REFUSED));
            return;
        }
        if let Some(excess) = self.excess_of(answer.updated_permissions.as_deref().unwrap_or_default()) {
            self.reply(&asker, error(ErrorCode::InvalidMessage, format!("updated_permissions: {excess}")));
            return;
        }
        if let Some(problem) = self.bad_answers(&answer) {
            self.reply(&asker, error(ErrorCode::InvalidMessage, problem));
            return;
        }
        let Some(prompt) = self.prompts.take(|prompt| prompt.id == answer.request_id) else {
            self.reply(&asker, unknown_prompt(&answer.request_id));
            return;
        };
        let decision = answer.decision;
        let explanation = answer.explanation.clone().filter(|text| !text.is_empty());
        let verdict = match decision {
            Decision::Deny => Verdict::Deny {
                message: answer
                    .explanation
                    .filter(|text| !text.is_empty())
                    .unwrap_or_else(|| DENIED.to_owned()),
                interrupt: answer.interrupt.unwrap_or(false),
            },
            Decision::Allow => Verdict::Allow {
                input: answer.updated_input,
                updates: answer.updated_permissions.unwrap_or_default(),
            },
            Decision::AllowAlways => {
                let updates = answer
                    .updated_permissions
                    .unwrap_or_else(|| self.allow_always(&prompt, answer.updated_input.as_ref()));
                Verdict::Allow { input: answer.updated_input, updates }
            }
        };
        // A subagent's in the background ends with it, whatever turn is running.
        let stops_turn = matches!(verdict, Verdict::Deny { interrupt: true, .. })
            && !self.journal.is_made_beside(&prompt.tool_use_id);
        // Most answers change nothing but the call.
        let before = verdict.updates_rules().then(|| (self.config.clone(), self.rules.clone()));
        self.answer(&prompt, verdict);
        self.resolved(&prompt.id, decision.into(), ResolvedBy::Client, Some(&asker.id));
        if before.is_some_and(|(config, rules)| config != self.config || rules != self.rules) {
            self.config_changed(Some(&asker.id));
        }
        if stops_turn {
            if let Some(explanation) = explanation {
                self.agent.conversation.owes(&prompt.tool_name, &explanation);
                self.effects.push(Effect::Persist);
            }
            self.turn_is_being_stopped(asker);
        }
        self.prompt_closed();
    }

    /// What is wrong with the answers to a question, where this is one's answer.
    fn bad_answers(&self, answer: &PermissionResponse) -> Option<String> {
        let prompt = self.prompts.open.iter().find(|prompt| prompt.id == answer.request_id)?;
        if prompt.tool_name != QUESTION || answer.decision == Decision::Deny {
            return None;
        }
        let mut input: Object = answer.updated_input.as_ref()?.to().ok()?;
        let problem = match input.remove("answers")? {
            serde_json::Value::Object(answers) => checked(answers).err()?,
            _ => "answers to a question are a JSON object, {\"<question>\": \"<answer>\"}".to_owned(),
        };
        Some(format!("updated_input.answers: {problem}"))
    }

    /// What `allow_always` stands for: the very same call again, and what the agent suggests. An edited call is another one than
    /// the agent's suggestions are about.
    fn allow_always(&mut self, prompt: &Prompt, edited: Option<&Json<'static>>) -> Vec<RuleUpdate> {
        self.prompts.cover(&prompt.tool_name, edited.unwrap_or(&prompt.tool_input));
        let mut updates = self.updates_of_always(&prompt.suggestions);
        if edited.is_some() {
            updates.clear();
        } else if NEVER_ALWAYS.contains(&prompt.tool_name.as_str()) {
            updates.retain(|update| matches!(update, RuleUpdate::SetMode { .. }));
        }
        updates
    }

    /// `tool_result` for an open question: the answers are a JSON object, `{question: answer}` or `{"answers": {…}}`.
    /// False if no prompt is open for that call.
    pub(super) fn question_answered(&mut self, asker: &Asker, result: &ClientToolResult) -> bool {
        let is_meant =
            |prompt: &Prompt| prompt.tool_use_id == result.tool_use_id && prompt.tool_name == QUESTION;
        if !self.prompts.open.iter().any(is_meant) {
            return false;
        }
        let answers = if result.is_error { None } else { Some(answers_in(&result.content)) };
        if let Some(Err(problem)) = answers {
            self.reply(asker, error(ErrorCode::InvalidMessage, problem));
            return true;
        }
        let Some(prompt) = self.prompts.take(is_meant) else { return false };
        let (verdict, decision) = if let Some(Ok(answers)) = answers {
            let input = with_answers(&prompt.tool_input, answers);
            (Verdict::Allow { input, updates: Vec::new() }, Resolution::Allow)
        } else {
            let text = text_of(&result.content);
            let message = text.unwrap_or_else(|| result.content.get().to_owned());
            (Verdict::Deny { message, interrupt: false }, Resolution::Deny)
        };
        self.answer(&prompt, verdict);
        self.resolved(&prompt.id, decision, ResolvedBy::Client, Some(&asker.id));
        self.prompt_closed();
        true
    }

    /// `cancel` of a prompt: it is denied. False if there is none of that id.
    pub(super) fn cancel_prompt(&mut self, asker: &Asker, id: &str) -> bool {
        let Some(prompt) = self.prompts.take(|prompt| prompt.id == id) else { return false };
        self.answer(&prompt, Verdict::Deny { message: CANCELLED.to_owned(), interrupt: false });
        self.resolved(id, Resolution::Deny, ResolvedBy::Client, Some(&asker.id));
        let cancelled = Cancelled { target_id: id.into() };
        self.journal.event_for(Some(&asker.id), &ServerMessage::Cancelled(cancelled));
        self.prompt_closed();
        true
    }

    /// The agent takes a question back: the turn was interrupted, or it found the answer itself.
    pub(super) fn prompt_withdrawn(&mut self, agent_id: &str) {
        self.client_tools.forget_call_of(agent_id);
        self.settle();
        self.elicitation_withdrawn(agent_id);
        let stopping = self.turn.as_ref().is_some_and(|turn| turn.is_stopping());
        if let Some(prompt) = self.prompts.take(|prompt| prompt.agent_id == agent_id) {
            let by = if stopping { ResolvedBy::Interrupt } else { ResolvedBy::Agent };
            self.resolved_by_itself(&prompt.id, &prompt.tool_use_id, Resolution::Cancelled, by);
            self.prompt_closed();
        }
    }

    /// Nobody will answer any more.
    pub(super) fn close_prompts(&mut self, by: ResolvedBy) {
        self.close_elicitations(by);
        self.close_prompts_where(by, |_, _| true);
    }

    /// The turn is over, and with it what it asked.
    pub(super) fn close_prompts_of_turn(&mut self, by: ResolvedBy) {
        // The agent does not say whose an elicitation is. Of more than the turn's it takes back itself what nobody waits for.
        if !self.journal.runs_beside() {
            self.close_elicitations(by);
        }
        self.close_prompts_where(by, |journal, prompt| !journal.is_made_beside(&prompt.tool_use_id));
    }

    /// The subagent that `call` began is gone, and with it what it asked.
    pub(super) fn close_prompts_of(&mut self, call: &str, by: ResolvedBy) {
        self.close_prompts_where(by, |journal, prompt| journal.is_made_by(&prompt.tool_use_id, call));
    }

    fn close_prompts_where(&mut self, by: ResolvedBy, is_meant: impl Fn(&Journal, &Prompt) -> bool) {
        let journal = &self.journal;
        let closed: Vec<_> = self.prompts.open.extract_if(.., |prompt| is_meant(journal, prompt)).collect();
        for prompt in closed {
            // One that the agent has not taken back itself would leave it waiting: a subagent's in the background, say.
            if self.agent.is_ready() {
                self.answer(&prompt, Verdict::Deny { message: TURN_OVER.to_owned(), interrupt: false });
            }
            self.resolved_by_itself(&prompt.id, &prompt.tool_use_id, Resolution::Cancelled, by);
        }
    }

    pub(super) fn prompt_tick(&mut self) {
        let now = self.now.instant;
        let is_due = |prompt: &Prompt| prompt.deadline.is_some_and(|deadline| deadline <= now);
        while let Some(prompt) = self.prompts.take(is_due) {
            self.answer(&prompt, Verdict::Deny { message: TIMED_OUT.to_owned(), interrupt: false });
            self.resolved_by_itself(&prompt.id, &prompt.tool_use_id, Resolution::Deny, ResolvedBy::Timeout);
            self.prompt_closed();
        }
    }

    pub(super) fn prompt_closed(&mut self) {
        self.effects.push(Effect::Persist);
        self.settle();
    }

    fn answer(&mut self, prompt: &Prompt, verdict: Verdict) {
        let line = match verdict {
            Verdict::Allow { input, updates } => {
                self.remember_rules(&updates);
                let input = input.unwrap_or_else(|| prompt.tool_input.clone());
                // Bypass it takes at its start only.
                let is_for_now = |update: &&RuleUpdate| {
                    !matches!(update, RuleUpdate::SetMode { mode: PermissionMode::Bypass })
                };
                let updates: Vec<_> = updates.iter().filter(is_for_now).filter_map(for_agent).collect();
                let updates: Vec<_> = updates.iter().map(Json::raw).collect();
                control::allow(&prompt.agent_id, input.raw(), &updates)
            }
            Verdict::Deny { message, interrupt } => control::deny(&prompt.agent_id, &message, interrupt),
        };
        self.tell(line);
    }

    /// No client decided it. Of a call of a subagent in the background it stems from no message.
    fn resolved_by_itself(&mut self, id: &str, tool_use_id: &str, decision: Resolution, reason: ResolvedBy) {
        if self.journal.is_made_beside(tool_use_id) {
            let (permission_id, id) = (id.into(), None);
            let resolved = PermissionResolved { permission_id, decision, reason };
            self.journal.event_for(id, &ServerMessage::PermissionResolved(resolved));
        } else {
            self.resolved(id, decision, reason, None);
        }
    }

    pub(super) fn resolved(
        &mut self,
        id: &str,
        decision: Resolution,
        reason: ResolvedBy,
        request_id: Option<&str>,
    ) {
        let resolved = ServerMessage::PermissionResolved(PermissionResolved {
            permission_id: id.into(),
            decision,
            reason,
        });
        match request_id {
            Some(_) => self.journal.event_for(request_id, &resolved),
            None => self.journal.event(&resolved),
        };
    }
}

/// Whether a rule for `rule` may be about calls of `tool`: the agent's rules for files are about all tools of that kind, those for
/// an MCP server about all of its tools.
fn is_about(rule: &str, tool: &str) -> bool {
    const KINDS: [&[&str]; 3] = [
        &["Edit", "MultiEdit", "NotebookEdit", "Write"],
        &["Glob", "Grep", "LS", "NotebookRead", "Read"],
        &["Agent", "Task"],
    ];
    rule == tool
        || rule.contains('*')
        || tool.strip_prefix(rule).is_some_and(|rest| rest.starts_with("__"))
        || KINDS.iter().any(|kind| kind.contains(&rule) && kind.contains(&tool))
}

fn own(raw: &RawValue) -> Json<'static> {
    Json::borrowed(raw).into_owned()
}

/// What the call does, in words: the agent's, else its name for the tool.
fn description<'a>(tool_name: &str, ask: &wire::CanUseTool<'a>) -> Cow<'a, str> {
    let said = ask.description.text().filter(|text| !text.is_empty()).or_else(|| ask.display_name.text());
    said.filter(|text| !text.is_empty()).unwrap_or_else(|| tool_name.to_owned().into())
}

fn unknown_prompt(id: &str) -> ServerMessage<'static> {
    let text = format!("no open permission request has the id {id:?}; it may have been answered already");
    error(ErrorCode::UnknownRequest, text)
}

/// `medium` unless something says otherwise: a question changes nothing, and a call that leaves the sandbox is flagged by
/// its own input.
fn risk(tool: &str, input: &Json<'_>) -> RiskLevel {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Flags {
        #[serde(default)]
        dangerously_disable_sandbox: bool,
    }
    if tool == QUESTION {
        RiskLevel::Low
    } else if input.to::<Flags>().is_ok_and(|flags| flags.dangerously_disable_sandbox) {
        RiskLevel::High
    } else {
        RiskLevel::Medium
    }
}

type Object = serde_json::Map<String, serde_json::Value>;

/// The answers in a `tool_result`: an object, or a string or text blocks that hold one.
fn answers_in(content: &Json<'_>) -> Result<Object, String> {
    let inner = text_of(content);
    let text = inner.as_deref().unwrap_or_else(|| content.get());
    let object: Object = serde_json::from_str(text).map_err(|_| {
        "content: the answers to a question are a JSON object, {\"<question>\": \"<answer>\"}".to_owned()
    })?;
    let answers = match object.get("answers") {
        Some(serde_json::Value::Object(answers)) => answers.clone(),
        _ => object,
    };
    checked(answers).map_err(|problem| format!("content: {problem}"))
}

/// Answers that the agent can read: each a string or a list of strings. With anything else it fails the question after it was answered.
fn checked(answers: Object) -> Result<Object, String> {
    use serde_json::Value;

    for (question, answer) in &answers {
        let is_list = || answer.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        if !answer.is_string() && !is_list() {
            let question = words::quoted(question);
            return Err(format!("the answer to {question} is neither a string nor a list of strings"));
        }
    }
    Ok(answers)
}

/// A content block, where it is text.
#[derive(serde::Deserialize)]
struct TextBlock {
    text: String,
}

/// What a string or text blocks say.
fn text_of(content: &Json<'_>) -> Option<String> {
    let blocks = || content.to::<Vec<TextBlock>>().ok();
    let joined =
        |blocks: Vec<TextBlock>| blocks.into_iter().map(|block| block.text).collect::<Vec<_>>().join("\n");
    content.to::<String>().ok().or_else(|| blocks().map(joined))
}

fn with_answers(input: &Json<'_>, answers: Object) -> Option<Json<'static>> {
    let mut input: Object = input.to().unwrap_or_default();
    input.insert("answers".to_owned(), serde_json::Value::Object(answers));
    Json::of(&input).ok()
}
