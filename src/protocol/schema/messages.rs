//! One flat schema a message: its own fields, from the Rust type, and the common ones.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::tidy;
use crate::protocol::{
    AgentEvent, AssistantMessageComplete, AssistantMessageDelta, AssistantMessageRetracted,
    AssistantMessageStart, Background, Cancel, Cancelled, ClientToolResult, ConfigMessage, ConfigUpdate,
    ConversationReset, ElicitationRequest, ElicitationResolved, ElicitationResponse, Empty, ErrorMessage,
    Interrupt, Interrupted, ListSessions, NewSession, NewSessionReply, PermissionRequest, PermissionResolved,
    PermissionResponse, PermissionUpdate, Position, ResultRead, ResultReadReply, ServerHeartbeat, SessionEnd,
    SessionEnded, SessionInfo, SessionList, StartOptions, StatusUpdate, TaskOutput, TaskOutputReply,
    TaskStop, TaskUpdate, ToolResult, ToolUse, TurnResult, UserMessage, UserMessageEvent, Warning,
};

/// Schemas by name: the messages, and the types that they refer to.
type Schemas = (Map<String, Value>, Map<String, Value>);

/// Whether a client's message has an id.
#[derive(Clone, Copy, PartialEq)]
enum Presence {
    Required,
    Optional,
    /// Optional, and even an empty one does no harm.
    Unused,
}

/// Whether a server's message is in the session's log.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Event,
    Reply,
    Either,
}

/// What clients may send.
pub(super) fn client() -> Schemas {
    use Presence::{Optional, Required, Unused};

    let mut maker = Maker::new(SchemaSettings::draft2020_12().for_deserialize());
    let start = start_fields(&mut maker);
    maker.client("session_start", start, Required, Optional);
    let new = new_session_fields(&mut maker);
    maker.client("new_session", new, Optional, Unused);
    maker.client_body::<Empty>("session_info");
    let list = maker.fields::<ListSessions>();
    maker.client("session_list", list, Required, Unused);
    maker.client_body::<SessionEnd>("session_end");
    maker.client_body::<UserMessage>("user_message");
    maker.client_body::<PermissionResponse>("permission_response");
    maker.client_body::<ElicitationResponse>("elicitation_response");
    maker.client_body::<PermissionUpdate>("permission_update");
    maker.client_body::<ClientToolResult>("tool_result");
    maker.client_body::<Interrupt>("interrupt");
    maker.client_body::<TaskStop>("task_stop");
    maker.client_body::<TaskOutput>("task_output");
    maker.client_body::<ResultRead>("result_read");
    maker.client_body::<Background>("background");
    maker.client_body::<Empty>("resume");
    maker.client_body::<Cancel>("cancel");
    maker.client_body::<ConfigUpdate>("config_update");
    maker.client_body::<Empty>("config_query");
    let heartbeat = maker.fields::<Empty>();
    maker.client("heartbeat", heartbeat, Optional, Unused);

    let (mut messages, mut types) = maker.finish();
    messages.values_mut().chain(types.values_mut()).for_each(tidy::with_null);
    // schemars does not know serde's aliases.
    if let Some(mode) = types.get_mut("PermissionMode") {
        let known = ["manual", "default", "auto", "acceptEdits", "plan", "bypass", "bypassPermissions"];
        *mode = json!({"description": "Who is asked before a tool runs.", "type": "string", "enum": known});
    }
    (messages, types)
}

/// What the server may send.
pub(super) fn server() -> Schemas {
    use Place::{Either, Event, Reply};

    let mut maker = Maker::new(SchemaSettings::draft2020_12().for_serialize());
    maker.server::<UserMessageEvent<'_>>("user_message", Event);
    maker.server::<AssistantMessageStart<'_>>("assistant_message_start", Event);
    maker.server::<AssistantMessageDelta<'_>>("assistant_message_delta", Event);
    maker.server::<AssistantMessageComplete<'_>>("assistant_message_complete", Event);
    maker.server::<AssistantMessageRetracted<'_>>("assistant_message_retracted", Event);
    maker.server::<ToolUse<'_>>("tool_use", Event);
    maker.server::<ToolResult<'_>>("tool_result", Event);
    maker.server::<PermissionRequest<'_>>("permission_request", Event);
    maker.server::<PermissionResolved<'_>>("permission_resolved", Event);
    maker.server::<ElicitationRequest<'_>>("elicitation_request", Event);
    maker.server::<ElicitationResolved<'_>>("elicitation_resolved", Event);
    maker.server::<StatusUpdate<'_>>("status_update", Event);
    maker.server::<Interrupted>("interrupted", Either);
    maker.server::<Cancelled<'_>>("cancelled", Event);
    maker.server::<ConfigMessage>("config_updated", Event);
    maker.server::<TaskUpdate>("task_update", Event);
    maker.server::<ConversationReset>("conversation_reset", Event);
    maker.server::<TurnResult<'_>>("result", Event);
    maker.server::<Warning<'_>>("warning", Either);
    maker.server::<ErrorMessage<'_>>("error", Either);
    maker.server::<SessionEnded>("session_ended", Event);
    maker.server::<AgentEvent<'_>>("agent_event", Event);
    maker.server::<SessionInfo<'_>>("session_info", Reply);
    maker.server::<SessionList>("session_list", Reply);
    maker.server::<NewSessionReply>("new_session", Reply);
    maker.server::<ConfigMessage>("config_response", Reply);
    maker.server::<TaskOutputReply<'_>>("task_output", Reply);
    maker.server::<ResultReadReply<'_>>("result_read", Reply);
    maker.server::<ServerHeartbeat>("heartbeat", Reply);

    let (mut messages, mut types) = maker.finish();
    messages["ServerHeartbeat"]["required"] = json!(["type", "id", "session_id", "timestamp"]);
    for (field, message) in [
        ("pending_permissions", "ServerPermissionRequest"),
        ("pending_elicitations", "ServerElicitationRequest"),
    ] {
        let open = &mut messages["ServerSessionInfo"]["properties"][field];
        open["items"] = json!({"$ref": format!("#/$defs/{message}")});
    }
    let result = &mut messages["ServerResult"];
    result["if"] = json!({"properties": {"is_error": {"const": false}}});
    result["then"] = json!({"properties": {"error": false, "error_code": false}});
    let interrupted = &mut messages["ServerInterrupted"];
    interrupted["if"] = json!({"not": {"properties": {"outcome": {"const": "nothing_running"}}}});
    interrupted["then"] = json!({"required": ["seq", "timestamp"]});
    messages.values_mut().chain(types.values_mut()).for_each(tidy::without_null);
    (messages, types)
}

/// `session_start`: the options flat, nested in `config`, or some here and some there.
fn start_fields(maker: &mut Maker) -> Map<String, Value> {
    let mut fields = maker.fields::<StartOptions>();
    let position = maker.fields::<Position>();
    properties(&mut fields).extend(position["properties"].as_object().cloned().unwrap_or_default());
    fields.remove("description");
    let mut nested = fields.clone();
    nested.insert("type".to_owned(), json!(["object", "null"]));
    nested.insert("description".to_owned(), json!("The same options, nested; what stands here wins."));
    properties(&mut fields).insert("config".to_owned(), Value::Object(nested));
    fields.insert("description".to_owned(), json!("Creates a session, or attaches to one."));
    fields
}

/// `new_session`: `mcp_servers` in either spelling.
fn new_session_fields(maker: &mut Maker) -> Map<String, Value> {
    let mut fields = maker.fields::<NewSession>();
    let servers = properties(&mut fields).get("mcp_servers").cloned().unwrap_or_default();
    properties(&mut fields).insert("mcpServers".to_owned(), servers);
    fields.insert("required".to_owned(), json!(["cwd"]));
    fields.insert("anyOf".to_owned(), json!([{"required": ["mcp_servers"]}, {"required": ["mcpServers"]}]));
    fields
}

fn properties(fields: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let properties = fields.entry("properties").or_insert_with(|| json!({}));
    if !properties.is_object() {
        *properties = json!({});
    }
    properties.as_object_mut().expect("made one above")
}

/// Collects one direction's schemas.
struct Maker {
    generator: SchemaGenerator,
    messages: Map<String, Value>,
}

impl Maker {
    fn new(settings: SchemaSettings) -> Self {
        Self { generator: settings.into_generator(), messages: Map::new() }
    }

    fn finish(mut self) -> Schemas {
        let types = self.generator.take_definitions(true);
        (self.messages, types.into_iter().collect())
    }

    /// The schema of a type's own fields, inline.
    fn fields<T: JsonSchema>(&mut self) -> Map<String, Value> {
        match T::json_schema(&mut self.generator).to_value() {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    fn client_body<T: JsonSchema>(&mut self, kind: &str) {
        let fields = self.fields::<T>();
        self.client(kind, fields, Presence::Required, Presence::Required);
    }

    fn client(&mut self, kind: &str, fields: Map<String, Value>, id: Presence, session: Presence) {
        let types = |presence: Presence| {
            if presence == Presence::Required { json!("string") } else { json!(["string", "null"]) }
        };
        let mut required = vec!["type"];
        required.extend((id == Presence::Required).then_some("id"));
        required.extend((session == Presence::Required).then_some("session_id"));
        let shortest = u8::from(session != Presence::Unused);
        let common = [
            ("type", json!({"const": kind})),
            (
                "id",
                json!({"description": "The client's id of this message.", "type": types(id), "minLength": 1, "maxLength": 128}),
            ),
            (
                "session_id",
                json!({
                    "description": "The session that is meant.",
                    "type": types(session),
                    "pattern": format!("^[A-Za-z0-9._:-]{{{shortest},128}}$"),
                }),
            ),
        ];
        self.add("Client", kind, fields, &common, &required);
    }

    fn server<T: JsonSchema>(&mut self, kind: &str, place: Place) {
        let fields = self.fields::<T>();
        let mut required = vec!["type", "id", "session_id"];
        if place == Place::Event {
            required.extend(["seq", "timestamp"]);
        }
        let mut common = vec![
            ("type", json!({"const": kind})),
            (
                "id",
                json!({"description": "Opaque, unique within the session.", "type": "string", "minLength": 1}),
            ),
            (
                "session_id",
                json!({"description": "The session; empty where none applies.", "type": "string", "pattern": "^[A-Za-z0-9._:-]{0,128}$"}),
            ),
            (
                "request_id",
                json!({"description": "The client message that this answers or stems from.", "type": "string", "minLength": 1}),
            ),
            ("timestamp", json!({"description": "Unix milliseconds.", "type": "integer", "minimum": 0})),
        ];
        if place != Place::Reply {
            let text = "Position in the session's log, strictly increasing within an epoch.";
            common.push(("seq", json!({"description": text, "type": "integer", "minimum": 1})));
        }
        self.add("Server", kind, fields, &common, &required);
        if place == Place::Either {
            let name = definition_name("Server", kind);
            self.messages[&name]["dependentRequired"] = json!({"seq": ["timestamp"]});
        }
    }

    fn add(
        &mut self,
        side: &str,
        kind: &str,
        mut fields: Map<String, Value>,
        common: &[(&str, Value)],
        required: &[&str],
    ) {
        let name = definition_name(side, kind);
        let mut all: Map<_, _> =
            common.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
        all.append(properties(&mut fields));
        let mut needed: Vec<Value> = required.iter().map(|name| json!(name)).collect();
        if let Some(Value::Array(own)) = fields.remove("required") {
            needed.extend(own);
        }
        fields.insert("title".to_owned(), json!(name));
        fields.insert("type".to_owned(), json!("object"));
        fields.insert("properties".to_owned(), Value::Object(all));
        fields.insert("required".to_owned(), Value::Array(needed));
        self.messages.insert(name, Value::Object(fields));
    }
}

/// `ClientUserMessage`, `ServerResult` …
pub(super) fn definition_name(side: &str, kind: &str) -> String {
    let mut name = side.to_owned();
    for word in kind.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}
