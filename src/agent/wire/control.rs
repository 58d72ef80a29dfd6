//! The control protocol's lines: what the agent asks for, takes back and answers.

use std::borrow::Cow;

use super::lenient::{List, Raw, lenient};

lenient! {
    /// Any control line: the id stands on top or in `response`.
    Envelope {
        request_id: Raw<'a> = "request_id",
        request: Raw<'a> = "request",
        response: Answer<'a> = "response",
    }
}

lenient! {
    /// `response` of a `control_response`.
    Answer {
        subtype: Raw<'a> = "subtype",
        request_id: Raw<'a> = "request_id",
        response: Raw<'a> = "response",
        error: Raw<'a> = "error",
    }
}

lenient! {
    /// `request`, as far as it tells what is asked for.
    RequestHead {
        subtype: Raw<'a> = "subtype",
    }
}

/// The agent wants something; each `request_id` must be answered.
#[derive(Debug, Clone)]
pub enum ControlRequest<'a> {
    /// May a tool run?
    CanUseTool {
        /// What the answer must name.
        request_id: Cow<'a, str>,
        /// The question.
        request: CanUseTool<'a>,
    },
    /// JSON-RPC for an MCP server that lives on this side of the pipe.
    Mcp {
        /// What the answer must name.
        request_id: Cow<'a, str>,
        /// The message.
        request: McpMessage<'a>,
    },
    /// An MCP server asks a person.
    Elicitation {
        /// What the answer must name.
        request_id: Cow<'a, str>,
        /// What it asks.
        request: Elicitation<'a>,
    },
    /// Anything else.
    Other {
        /// What the answer must name.
        request_id: Cow<'a, str>,
        /// The request.
        request: OtherRequest<'a>,
    },
}

lenient! {
    /// `can_use_tool`.
    pub CanUseTool {
        /// The tool.
        tool_name: Raw<'a> = "tool_name",
        /// The tool's name for people.
        display_name: Raw<'a> = "display_name",
        /// The input it would run with.
        input: Raw<'a> = "input",
        /// What the call does, in words.
        description: Raw<'a> = "description",
        /// The agent's suggestions of rules: a menu, not a bundle.
        permission_suggestions: List<Raw<'a>> = "permission_suggestions",
        /// The path that made the agent ask.
        blocked_path: Raw<'a> = "blocked_path",
        /// Why the agent asks.
        decision_reason: Raw<'a> = "decision_reason",
        /// The kind of reason (`workingDir`, `rule`, `safetyCheck`, …; newer versions only).
        decision_reason_type: Raw<'a> = "decision_reason_type",
        /// The call.
        tool_use_id: Raw<'a> = "tool_use_id",
        /// The subagent that calls, where it is one.
        agent_id: Raw<'a> = "agent_id",
    }
}

lenient! {
    /// `mcp_message`.
    pub McpMessage {
        /// The server.
        server_name: Raw<'a> = "server_name",
        /// The JSON-RPC message.
        message: Raw<'a> = "message",
    }
}

lenient! {
    /// `elicitation`.
    pub Elicitation {
        /// The server.
        mcp_server_name: Raw<'a> = "mcp_server_name",
        /// What it says.
        message: Raw<'a> = "message",
        /// `form`, also where it is absent, or `url` (2.1.330 and later; 2.1.197 refuses it by itself).
        mode: Raw<'a> = "mode",
        /// Of a form: a JSON Schema.
        requested_schema: Raw<'a> = "requested_schema",
        /// The page.
        url: Raw<'a> = "url",
        /// A heading.
        title: Raw<'a> = "title",
    }
}

/// A request that is none of the known ones.
#[derive(Debug, Clone)]
pub struct OtherRequest<'a> {
    /// What it is called.
    pub subtype: Cow<'a, str>,
    /// All of it.
    pub raw: Raw<'a>,
}

impl ControlRequest<'_> {
    /// What the answer must name.
    pub fn request_id(&self) -> &str {
        match self {
            Self::CanUseTool { request_id, .. }
            | Self::Mcp { request_id, .. }
            | Self::Elicitation { request_id, .. }
            | Self::Other { request_id, .. } => request_id,
        }
    }
}

/// The agent answers a control request of ours.
#[derive(Debug, Clone)]
pub struct ControlResponse<'a> {
    /// The request that is answered.
    pub request_id: Cow<'a, str>,
    /// The answer's `response` (absent where there is nothing to say), or the error's text.
    pub outcome: Result<Raw<'a>, Cow<'a, str>>,
}

lenient! {
    /// `control_cancel_request`: the agent no longer waits for an answer.
    pub ControlCancel {
        /// The request that is taken back.
        request_id: Raw<'a> = "request_id",
    }
}

lenient! {
    /// What the answer to an interrupt carries (newer versions only).
    InterruptReceipt {
        still_queued: Raw<'a> = "still_queued",
        cancelled: List<Raw<'a>> = "cancelled",
    }
}

lenient! {
    /// What the answer to `get_settings` carries: what is in force.
    Settings {
        applied: Applied<'a> = "applied",
    }
}

lenient! {
    /// Settings that are in force.
    pub Applied {
        /// The model, by its full name.
        model: Raw<'a> = "model",
        /// The effort; `null` for models that have none.
        effort: Raw<'a> = "effort",
    }
}

lenient! {
    /// What the answer to `mcp_status` carries.
    McpStatus {
        servers: List<McpServerStatus<'a>> = "mcpServers",
    }
}

lenient! {
    /// One MCP server, as the agent sees it.
    McpServerStatus {
        name: Raw<'a> = "name",
        status: Raw<'a> = "status",
    }
}

impl<'a> ControlResponse<'a> {
    /// In the answer to an interrupt: the messages that the agent still has in its queue.
    pub fn still_queued(&self) -> Option<Raw<'a>> {
        let receipt: InterruptReceipt<'a> = self.outcome.as_ref().ok()?.to()?;
        receipt.still_queued.0.map(|raw| Raw(Some(raw)))
    }

    /// In the answer to an interrupt: the `uuid`s of the messages that were taken out of the agent's queue.
    pub fn cancelled(&self) -> Vec<Cow<'a, str>> {
        let receipt: InterruptReceipt<'a> =
            self.outcome.as_ref().ok().and_then(|raw| raw.to()).unwrap_or_default();
        receipt.cancelled.0.iter().filter_map(|uuid| uuid.text()).collect()
    }

    /// In the answer to `get_settings`: what is in force.
    pub fn applied(&self) -> Option<Applied<'a>> {
        self.outcome.as_ref().ok()?.to::<Settings<'a>>().map(|settings| settings.applied)
    }

    /// In the answer to `mcp_status`: the servers that are still being connected.
    pub fn pending_mcp_servers(&self) -> Vec<Cow<'a, str>> {
        let status: McpStatus<'a> = self.outcome.as_ref().ok().and_then(|raw| raw.to()).unwrap_or_default();
        let is_pending =
            |server: &&McpServerStatus<'a>| server.status.text().is_some_and(|is| is == "pending");
        status.servers.0.iter().filter(is_pending).filter_map(|server| server.name.text()).collect()
    }
}

/// Reads a `control_request`.
pub(super) fn request(text: &str) -> Option<ControlRequest<'_>> {
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    let request_id = envelope.request_id.text().unwrap_or_default();
    let raw = envelope.request;
    let subtype = raw.to::<RequestHead<'_>>().and_then(|head| head.subtype.text()).unwrap_or_default();
    Some(match &*subtype {
        "can_use_tool" => match raw.to() {
            Some(request) => ControlRequest::CanUseTool { request_id, request },
            None => ControlRequest::Other { request_id, request: OtherRequest { subtype, raw } },
        },
        "mcp_message" => ControlRequest::Mcp { request_id, request: raw.to().unwrap_or_default() },
        "elicitation" => ControlRequest::Elicitation { request_id, request: raw.to().unwrap_or_default() },
        _ => ControlRequest::Other { request_id, request: OtherRequest { subtype, raw } },
    })
}

/// Reads a `control_response`.
pub(super) fn response(text: &str) -> Option<ControlResponse<'_>> {
    let Envelope { response, .. } = serde_json::from_str(text).ok()?;
    let failed = response.subtype.text().is_some_and(|subtype| subtype == "error");
    Some(ControlResponse {
        request_id: response.request_id.text().unwrap_or_default(),
        outcome: if failed { Err(response.error.text().unwrap_or_default()) } else { Ok(response.response) },
    })
}
