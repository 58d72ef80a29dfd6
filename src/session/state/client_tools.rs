//! Tools that the front end runs: an MCP server inside the agent's control channel, whose calls clients answer.
//!
//! The agent speaks JSON-RPC to it (`mcp_message`); an unanswered request would hang the turn, so every one gets an answer.

use std::collections::HashMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Asker, SessionState, error};
use crate::agent::{control, wire};
use crate::protocol::{ClientTool, ClientToolResult, ErrorCode, Json};

/// The server's name; the agent calls its tools `mcp__client__NAME`.
const SERVER: &str = crate::agent::args::SDK_MCP_SERVER;
const PREFIX: &str = "mcp__client__";
/// The newest MCP version whose messages are understood; what the agent asks for is what it gets.
const MCP_VERSION: &str = "2025-06-18";
/// Open calls are bounded by the agent's own parallelism; this is the answer to an agent gone wild.
const MAX_CALLS: usize = 256;

/// JSON-RPC: no such method.
const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the server cannot do it now.
const INTERNAL_ERROR: i32 = -32603;

/// The tools on offer and the calls that wait for a client.
#[derive(Debug, Default)]
pub(super) struct ClientTools {
    offered: Vec<ClientTool>,
    calls: Vec<Call>,
    /// Calls of this turn that a client has answered.
    answered: HashMap<String, Answered>,
}

/// A client's answer.
#[derive(Debug)]
struct Answered {
    /// `seq` of the `tool_use` that it answers; a later one with the same id is another call.
    tool_use: Option<u64>,
    /// The answer where the agent has not asked for it yet: clients learn of a call before the agent makes it.
    early: Option<ClientToolResult>,
}

#[derive(Debug)]
struct Call {
    tool_use_id: String,
    /// Of the control request that carried the call.
    agent_id: String,
    /// Of the JSON-RPC request.
    rpc_id: Json<'static>,
    deadline: Option<Instant>,
}

/// A JSON-RPC request or notification of the agent.
#[derive(Deserialize)]
struct RpcRequest {
    id: Option<Json<'static>>,
    #[serde(default)]
    method: String,
    params: Option<Json<'static>>,
}

#[derive(Serialize)]
struct RpcReply<'a, R: Serialize> {
    jsonrpc: &'static str,
    id: &'a Json<'static>,
    #[serde(flatten)]
    outcome: RpcOutcome<R>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum RpcOutcome<R: Serialize> {
    Result(R),
    Error { code: i32, message: String },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolDescription<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Json<'static>,
}

#[derive(Serialize)]
struct ToolList<'a> {
    tools: Vec<ToolDescription<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult {
    content: Json<'static>,
    is_error: bool,
}

impl ClientTools {
    pub(super) fn new(offered: &[ClientTool]) -> Self {
        Self { offered: offered.to_vec(), ..Self::default() }
    }

    /// MCP servers to name in the greeting.
    pub(super) fn servers(&self) -> &'static [&'static str] {
        if self.offered.is_empty() { &[] } else { &[SERVER] }
    }

    /// Whether `tool`, as the agent calls it, is one of these.
    pub(super) fn owns(&self, tool: &str) -> bool {
        tool.strip_prefix(PREFIX).is_some_and(|name| self.offered.iter().any(|offered| offered.name == name))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.calls.iter().filter_map(|call| call.deadline).min()
    }

    /// The process that called is gone.
    pub(super) fn forget_calls(&mut self) {
        self.calls.clear();
        self.answered.clear();
    }

    /// Whether no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls that wait.
    pub(super) fn open(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().map(|call| call.tool_use_id.as_str())
    }

    /// The agent took a control request back.
    pub(super) fn forget_call_of(&mut self, agent_id: &str) {
        self.calls.retain(|call| call.agent_id != agent_id);
    }

    fn take(&mut self, wanted: impl FnMut(&Call) -> bool) -> Option<Call> {
        self.calls.iter().position(wanted).map(|at| self.calls.remove(at))
    }

    fn list(&self) -> ToolList<'_> {
        ToolList {
            tools: self
                .offered
                .iter()
                .map(|tool| ToolDescription {
                    name: &tool.name,
                    description: &tool.description,
                    input_schema: &tool.input_schema,
                })
                .collect(),
        }
    }
}

impl SessionState {
    /// The agent speaks to the MCP server.
    pub(super) fn mcp_message(&mut self, agent_id: &str, message: &wire::McpMessage<'_>) {
        let Some(request) =
            message.message.get().and_then(|text| serde_json::from_str::<RpcRequest>(text).ok())
        else {
            let line = control::error_response(agent_id, "not a JSON-RPC message");
            self.tell(line);
            return;
        };
        // A notification has no answer of its own, but the control request that carries it has.
        let Some(id) = request.id else {
            let nothing = Json::of(&serde_json::json!({ "jsonrpc": "2.0", "id": 0, "result": {} }));
            let line =
                control::mcp_response(agent_id, nothing.unwrap_or_else(|_| Json::empty_object()).raw());
            self.tell(line);
            return;
        };
        match request.method.as_str() {
            "initialize" => {
                self.rpc_reply(agent_id, &id, RpcOutcome::Result(server_info(request.params.as_ref())));
            }
            "ping" => self.rpc_reply(agent_id, &id, RpcOutcome::Result(Json::empty_object())),
            "tools/list" => {
                let list = Json::of(&self.client_tools.list()).unwrap_or_else(|_| Json::empty_object());
                self.rpc_reply(agent_id, &id, RpcOutcome::Result(list));
            }
            "tools/call" => self.tool_called(agent_id, id, request.params.as_ref()),
            other => {
                let message = format!("method {other:?} is not known here");
                self.rpc_error(agent_id, &id, METHOD_NOT_FOUND, message);
            }
        }
    }

    fn tool_called(&mut self, agent_id: &str, rpc_id: Json<'static>, params: Option<&Json<'static>>) {
        #[derive(Deserialize)]
        struct Params {
            #[serde(rename = "_meta")]
            meta: Meta,
        }
        #[derive(Deserialize)]
        struct Meta {
            #[serde(rename = "claudecode/toolUseId")]
            tool_use_id: String,
        }
        let call = params.and_then(|params| params.to::<Params>().ok());
        match call {
            Some(params) if self.client_tools.calls.len() < MAX_CALLS => {
                let deadline = self.limits.client_tool_timeout.map(|timeout| self.now.instant + timeout);
                let tool_use_id = params.meta.tool_use_id;
                let told = self.journal.client_runs(&tool_use_id);
                let answered = self.client_tools.answered.get_mut(&tool_use_id);
                let early = answered.filter(|answered| answered.tool_use == told);
                let early = early.and_then(|answered| answered.early.take());
                let call = Call { tool_use_id, agent_id: agent_id.to_owned(), rpc_id, deadline };
                if let Some(result) = early {
                    self.answer_call(&call, &result);
                } else {
                    self.client_tools.calls.push(call);
                    self.busy();
                    self.settle();
                }
            }
            Some(_) => {
                self.rpc_error(agent_id, &rpc_id, INTERNAL_ERROR, "too many calls are open".to_owned());
            }
            None => {
                let text = "the call does not say which tool use it belongs to".to_owned();
                self.rpc_error(agent_id, &rpc_id, INTERNAL_ERROR, text);
            }
        }
    }

    /// The turn is over. What still waits is answered all the same: unanswered, the agent would hold it for ever.
    pub(super) fn drop_client_calls(&mut self) {
        let journal = &self.journal;
        self.client_tools.answered.retain(|tool_use_id, _| journal.is_made_beside(tool_use_id));
        let is_meant = |call: &mut Call| !journal.is_made_beside(&call.tool_use_id);
        let calls: Vec<_> = self.client_tools.calls.extract_if(.., is_meant).collect();
        self.drop_calls(calls, "the turn is over");
    }

    /// The subagent that `parent` began is gone.
    pub(super) fn drop_client_calls_of(&mut self, parent: &str) {
        let journal = &self.journal;
        let is_meant = |tool_use_id: &str| journal.is_made_by(tool_use_id, parent);
        self.client_tools.answered.retain(|tool_use_id, _| !is_meant(tool_use_id));
        let calls: Vec<_> =
            self.client_tools.calls.extract_if(.., |call| is_meant(&call.tool_use_id)).collect();
        self.drop_calls(calls, "the subagent is gone");
    }

    fn drop_calls(&mut self, calls: Vec<Call>, why: &str) {
        for call in calls {
            if self.agent.has_process() {
                self.rpc_error(&call.agent_id, &call.rpc_id, INTERNAL_ERROR, why.to_owned());
            }
        }
    }

    /// `tool_result`: of a client tool, or the answers to a question.
    pub(super) fn client_tool_result(&mut self, asker: &Asker, result: ClientToolResult) {
        let id = &result.tool_use_id;
        let tool_use = self.journal.client_runs(id);
        let is_answered =
            self.client_tools.answered.get(id).is_some_and(|answered| answered.tool_use == tool_use);
        if let Some(call) = self.client_tools.take(|call| call.tool_use_id == *id) {
            self.client_tools.answered.insert(id.clone(), Answered { tool_use, early: None });
            self.answer_call(&call, &result);
            self.settle();
        } else if tool_use.is_some() && !is_answered {
            self.client_tools.answered.insert(id.clone(), Answered { tool_use, early: Some(result) });
        } else if !self.question_answered(asker, &result) {
            let text = format!("no client tool or question waits under the tool_use_id {id:?}");
            self.reply(asker, error(ErrorCode::UnknownRequest, text));
        }
    }

    fn answer_call(&mut self, call: &Call, result: &ClientToolResult) {
        let outcome = CallResult { content: mcp_content(&result.content), is_error: result.is_error };
        let outcome = Json::of(&outcome).unwrap_or_else(|_| Json::empty_object());
        self.rpc_reply(&call.agent_id, &call.rpc_id, RpcOutcome::Result(outcome));
    }

    pub(super) fn client_tool_tick(&mut self) {
        let now = self.now.instant;
        while let Some(call) =
            self.client_tools.take(|call| call.deadline.is_some_and(|deadline| deadline <= now))
        {
            let text = "the client did not answer in time (--client-tool-timeout)".to_owned();
            self.rpc_error(&call.agent_id, &call.rpc_id, INTERNAL_ERROR, text);
            self.settle();
        }
    }

    fn rpc_error(&mut self, agent_id: &str, rpc_id: &Json<'static>, code: i32, message: String) {
        self.rpc_reply::<Json<'static>>(agent_id, rpc_id, RpcOutcome::Error { code, message });
    }

    fn rpc_reply<R: Serialize>(&mut self, agent_id: &str, rpc_id: &Json<'static>, outcome: RpcOutcome<R>) {
        let reply = RpcReply { jsonrpc: "2.0", id: rpc_id, outcome };
        let line = match Json::of(&reply) {
            Ok(reply) => control::mcp_response(agent_id, reply.raw()),
            Err(problem) => control::error_response(agent_id, &problem.to_string()),
        };
        self.tell(line);
    }
}

/// What `initialize` is answered with.
fn server_info(params: Option<&Json<'static>>) -> Json<'static> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        protocol_version: String,
    }
    let version = params.and_then(|params| params.to::<Params>().ok());
    let info = serde_json::json!({
        "protocolVersion": version.map_or_else(|| MCP_VERSION.to_owned(), |params| params.protocol_version),
        "capabilities": { "tools": {} },
        "serverInfo": { "name": SERVER, "version": env!("CARGO_PKG_VERSION") },
    });
    Json::of(&info).unwrap_or_else(|_| Json::empty_object())
}

/// A client's result as MCP content. MCP's images carry `data` and `mimeType` where the API's blocks have a `source`.
fn mcp_content(content: &Json<'static>) -> Json<'static> {
    let text_block = |text: String| serde_json::json!([{ "type": "text", "text": text }]);
    let content = match content.to::<serde_json::Value>() {
        Ok(serde_json::Value::String(text)) => text_block(text),
        Ok(serde_json::Value::Array(blocks)) => blocks.into_iter().map(mcp_block).collect(),
        _ => text_block(content.get().to_owned()),
    };
    Json::of(&content).unwrap_or_else(|_| Json::empty_object())
}

fn mcp_block(block: serde_json::Value) -> serde_json::Value {
    let source = &block["source"];
    if block["type"] == "image" && source["type"] == "base64" {
        return serde_json::json!({ "type": "image", "data": source["data"], "mimeType": source["media_type"] });
    }
    block
}
