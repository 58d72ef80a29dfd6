//! Properties: no text harms, and what can be said can be read back.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{FrameLimits, client_frame, parse};
use crate::protocol::{
    Cancel, ClientFrame, ClientMessage, ClientTool, ClientToolResult, ConfigUpdate, ConfigUpdateFields,
    Decision, Effort, Empty, Interrupt, Json, ListSessions, McpServer, McpTransport, NewSession, Pair, Pairs,
    PermissionMode, PermissionResponse, PermissionUpdate, Position, Rule, RuleBehavior, RuleSet, RuleUpdate,
    ServerFrame, SessionEnd, SessionStart, StartOptions, UserMessage,
};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map("[a-z_]{0,8}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Objects with the protocol's own field names, and anything at all in them.
fn near_frame() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] = &[
        "id",
        "session_id",
        "content",
        "config",
        "metadata",
        "mcp_servers",
        "mcpServers",
        "client_tools",
        "updates",
        "request_id",
        "decision",
        "updated_input",
        "updated_permissions",
        "tool_use_id",
        "target_id",
        "reason",
        "cwd",
        "max_turns",
        "last_seq",
        "epoch",
        "permission_mode",
        "allowed_tools",
        "is_error",
        "delta",
        "seq",
    ];
    let kinds: Vec<&str> =
        ClientMessage::TYPES.iter().chain(crate::protocol::ServerMessage::TYPES).copied().collect();
    let fields = btree_map(proptest::sample::select(NAMES), any_json(), 0..8);
    (proptest::sample::select(kinds), fields, any::<bool>()).prop_map(|(kind, fields, valid_ids)| {
        let mut object: serde_json::Map<_, _> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        object.insert("type".to_owned(), kind.into());
        if valid_ids {
            object.insert("id".to_owned(), "1".into());
            object.insert("session_id".to_owned(), "s".into());
        }
        Value::Object(object)
    })
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z/(][ -~äß\u{2028}\u{1F600}\"\\\\]{0,12}"
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(name(), 0..4)
}

fn mode() -> impl Strategy<Value = PermissionMode> {
    proptest::sample::select(PermissionMode::ALL.to_vec())
}

fn object() -> impl Strategy<Value = Json<'static>> {
    btree_map("[a-z]{0,6}", any_json(), 0..4).prop_map(|map| Json::of(&map).expect("JSON values serialise"))
}

fn blocks() -> impl Strategy<Value = Json<'static>> {
    vec(any_json(), 1..4).prop_map(|inner| {
        let blocks: Vec<_> = inner
            .into_iter()
            .map(|value| json!({"type": "text", "text": value.to_string(), "more": value}))
            .collect();
        Json::of(&blocks).expect("JSON values serialise")
    })
}

fn content() -> impl Strategy<Value = Json<'static>> {
    prop_oneof![".{1,40}".prop_map(|text| Json::of(&text).expect("strings serialise")), blocks()]
}

fn pairs() -> impl Strategy<Value = Pairs> {
    prop_oneof![
        btree_map("[A-Z]{1,4}", ".{0,8}", 0..3).prop_map(Pairs::Object),
        vec(("[A-Z]{1,4}", ".{0,8}"), 1..3).prop_map(|pairs| {
            Pairs::Array(pairs.into_iter().map(|(name, value)| Pair { name, value }).collect())
        }),
    ]
}

fn servers() -> impl Strategy<Value = Vec<McpServer>> {
    let transport = option::of(proptest::sample::select(vec![
        McpTransport::Stdio,
        McpTransport::Http,
        McpTransport::Sse,
    ]));
    let server =
        (transport, names(), pairs(), pairs()).prop_map(|(transport, args, env, headers)| McpServer {
            name: String::new(),
            transport,
            command: Some("cmd".to_owned()),
            args,
            env,
            url: Some("http://x/".to_owned()),
            headers,
        });
    vec(server, 0..3).prop_map(|servers| {
        servers
            .into_iter()
            .enumerate()
            .map(|(at, server)| McpServer { name: format!("s{at}"), ..server })
            .collect()
    })
}

fn tools() -> impl Strategy<Value = Vec<ClientTool>> {
    vec(".{0,20}", 0..3).prop_map(|texts| {
        let tool = |(at, description)| ClientTool {
            name: format!("tool_{at}-x"),
            description,
            input_schema: Json::of(&json!({"type": "object"})).expect("JSON values serialise"),
        };
        texts.into_iter().enumerate().map(tool).collect()
    })
}

fn effort() -> impl Strategy<Value = Effort> {
    proptest::sample::select(Effort::ALL.to_vec())
}

fn options() -> impl Strategy<Value = StartOptions> {
    let scalars = (
        option::of(mode()),
        option::of(1..=1000_u32),
        option::of(any::<u32>()),
        option::of(any::<bool>()),
        option::of(effort()),
    );
    let metadata = option::of(btree_map(".{0,8}", ".{0,8}", 0..4));
    let strings =
        (option::of(name()), option::of(name()), option::of("[^\0]{0,20}"), option::of("[^\0]{0,20}"));
    let lists = (option::of(names()), option::of(names()), option::of(names()));
    let objects = (option::of(servers()), option::of(tools()));
    (scalars, metadata, strings, lists, objects).prop_map(|(scalars, metadata, strings, lists, objects)| {
        StartOptions {
            permission_mode: scalars.0,
            max_turns: scalars.1,
            max_thinking_tokens: scalars.2,
            agent_events: scalars.3,
            effort: scalars.4,
            subagent_text: scalars.3,
            metadata,
            cwd: strings.0,
            model: strings.1,
            system_prompt: strings.2,
            append_system_prompt: strings.3,
            allowed_tools: lists.0,
            disallowed_tools: lists.1,
            add_dirs: lists.2,
            mcp_servers: objects.0,
            client_tools: objects.1,
        }
    })
}

fn update() -> impl Strategy<Value = RuleUpdate> {
    let behavior = proptest::sample::select(vec![RuleBehavior::Allow, RuleBehavior::Deny, RuleBehavior::Ask]);
    let rule = || {
        (name(), option::of(name())).prop_map(|(tool_name, rule_content)| Rule { tool_name, rule_content })
    };
    let rules =
        || (vec(rule(), 0..3), behavior.clone()).prop_map(|(rules, behavior)| RuleSet { rules, behavior });
    let directories = || vec("/[a-z]{0,8}", 0..3);
    prop_oneof![
        rules().prop_map(RuleUpdate::AddRules),
        rules().prop_map(RuleUpdate::ReplaceRules),
        rules().prop_map(RuleUpdate::RemoveRules),
        mode().prop_map(|mode| RuleUpdate::SetMode { mode }),
        directories().prop_map(|directories| RuleUpdate::AddDirectories { directories }),
        directories().prop_map(|directories| RuleUpdate::RemoveDirectories { directories }),
    ]
}

fn response() -> impl Strategy<Value = PermissionResponse> {
    let decision = proptest::sample::select(vec![Decision::Allow, Decision::Deny, Decision::AllowAlways]);
    let permissions = option::of(vec(update(), 0..3));
    (name(), decision, option::of(".{0,20}"), option::of(object()), permissions, option::of(any::<bool>()))
        .prop_map(|(request_id, decision, explanation, updated_input, updated_permissions, interrupt)| {
            PermissionResponse {
                request_id,
                decision,
                explanation,
                updated_input,
                updated_permissions,
                interrupt,
            }
        })
}

fn message() -> impl Strategy<Value = ClientMessage> {
    let start = (options(), option::of(any::<u64>()), option::of(".{0,8}"), option::of(1024..u64::MAX))
        .prop_map(|(options, last_seq, epoch, max_content_bytes)| {
            let position = Position { last_seq, epoch, max_content_bytes };
            ClientMessage::SessionStart(Box::new(SessionStart { options, position }))
        });
    let new = ("/[a-z]{0,8}", servers())
        .prop_map(|(cwd, mcp_servers)| ClientMessage::NewSession(NewSession { cwd, mcp_servers }));
    let user = (content(), option::of(name())).prop_map(|(content, parent_tool_use_id)| {
        ClientMessage::UserMessage(UserMessage { content, parent_tool_use_id })
    });
    let result = (name(), prop_oneof![content(), object()], any::<bool>()).prop_map(
        |(tool_use_id, content, is_error)| {
            ClientMessage::ToolResult(ClientToolResult { tool_use_id, content, is_error })
        },
    );
    let fields = (
        option::of(name()),
        option::of(mode()),
        option::of(1..=1000_u32),
        option::of(any::<u32>()),
        option::of(option::of(effort())),
    );
    let config = fields.prop_map(|(model, permission_mode, max_turns, max_thinking_tokens, effort)| {
        let config = ConfigUpdateFields { model, permission_mode, max_turns, max_thinking_tokens, effort };
        ClientMessage::ConfigUpdate(ConfigUpdate { config })
    });
    let reason = || option::of(".{0,20}");
    prop_oneof![
        start,
        new,
        user,
        result,
        config,
        response().prop_map(ClientMessage::PermissionResponse),
        vec(update(), 1..3).prop_map(|updates| ClientMessage::PermissionUpdate(PermissionUpdate { updates })),
        name().prop_map(|target_id| ClientMessage::Cancel(Cancel { target_id })),
        reason().prop_map(|reason| ClientMessage::SessionEnd(SessionEnd { reason })),
        (reason(), any::<bool>())
            .prop_map(|(reason, tasks)| ClientMessage::Interrupt(Interrupt { reason, tasks })),
        Just(ClientMessage::SessionInfo(Empty {})),
        Just(ClientMessage::SessionList(ListSessions::default())),
        Just(ClientMessage::Resume(Empty {})),
        Just(ClientMessage::ConfigQuery(Empty {})),
        Just(ClientMessage::Heartbeat(Empty {})),
    ]
}

proptest! {
    #[test]
    fn no_text_harms(text in ".{0,200}", noise in "[\\[\\]{}:,\"\\\\a0 .e-]{0,200}") {
        for text in [text, noise] {
            let _ = parse(&text);
            let _ = ServerFrame::parse(&text);
        }
    }

    #[test]
    fn no_json_harms(value in any_json(), near in near_frame(), cut in any::<proptest::sample::Index>()) {
        for value in [value, near] {
            let text = value.to_string();
            let _ = ServerFrame::parse(&text);
            if let Err(error) = parse(&text) {
                prop_assert!(error.message.len() < 2000);
            }
            let mut end = cut.index(text.len() + 1);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let _ = client_frame(&text[..end], &FrameLimits { depth: 3, ..FrameLimits::default() });
        }
    }

    #[test]
    fn what_can_be_said_can_be_read_back(message in message(), id in ".{1,64}", session in "[A-Za-z0-9._:-]{1,64}") {
        let frame = ClientFrame { id, session_id: Some(session), message };
        let text = serde_json::to_string(&frame).expect("frames serialise");
        let read = parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&frame), "{}", text);
    }
}
