//! What the built-in script answers.

use serde_json::Value;

use crate::scripted_model::{
    ToolResult,
    answer::{Answer, Attempts, Kind, MAX_ATTEMPTS, MAX_TEXT, Plan, choose},
    asked::Asked,
    script::{ApiError, Script},
};

fn asked(user_text: &str) -> Asked {
    Asked { user_text: user_text.into(), tools: vec!["Bash".into(), "Task".into()], ..Asked::default() }
}

fn answer(script: &Script, asked: &Asked) -> Answer {
    choose(script, asked, 400, 1, &mut Attempts::default())
}

fn plan(asked: &Asked) -> Plan {
    match answer(&Script::builtin(), asked) {
        Answer::Message(plan) => plan,
        other => panic!("no message: {other:?}"),
    }
}

fn text(asked: &Asked) -> String {
    plan(asked).blocks.iter().map(|block| block.text.as_str()).collect()
}

#[test]
fn every_word_that_help_lists_has_an_answer_of_its_own() {
    let script = Script::builtin();
    let fallback = text(&asked("something else"));
    assert!(fallback.ends_with("You said: something else"));
    for rule in script.rules.iter().filter_map(|rule| rule.help.as_ref()) {
        let word = rule.split(" – ").next().unwrap();
        if !word.starts_with('(') {
            if let Answer::Message(plan) = answer(&script, &asked(word)) {
                assert!(!plan.blocks[0].text.starts_with("I am a scripted model and know only"), "{word}");
            }
            assert!(text(&asked("help")).contains(rule));
        }
    }
}

#[test]
fn turns_follow_the_tool_rounds() {
    let mut at = asked("touch a b");
    assert_eq!(plan(&at).stop_reason, "tool_use");
    let input: Value = serde_json::from_str(&plan(&at).blocks[1].text).unwrap();
    assert_eq!(input["command"], "touch a b");
    at.rounds = 1;
    at.tool_results = vec![ToolResult { text: "{user_text}".into(), ..ToolResult::default() }];
    assert_eq!(text(&at), "The tool said: {user_text}");
    at.rounds = 2;
    assert_eq!(text(&at), "Done.");
    at.user_text = "loop".into();
    assert_eq!(plan(&at).stop_reason, "tool_use");
}

#[test]
fn echo_is_exact() {
    let said = "echo  \u{2028}\"{user_text}\"\n{n}\t\u{1F980} ";
    assert_eq!(text(&asked(said)), said.strip_prefix("echo ").unwrap());
}

#[test]
fn a_tool_goes_by_the_name_that_is_offered() {
    let name = |asked: &Asked| match &plan(asked).blocks[1].kind {
        Kind::ToolUse { name, .. } => name.clone(),
        other => panic!("{other:?}"),
    };
    let mut at = asked("subagent");
    assert_eq!(name(&at), "Task");
    at.tools.push("Agent".into());
    assert_eq!(name(&at), "Agent");
    at.tools = vec!["Other".into()];
    assert_eq!(name(&at), "Agent");
}

#[test]
fn any_tool_can_be_called_by_json() {
    let two = plan(&asked(r#"tool [{"name":"A","input":{"x":1}},{"name":"B"}]"#));
    assert_eq!(two.blocks.len(), 2);
    assert_eq!((two.blocks[0].text.as_str(), two.blocks[1].text.as_str()), (r#"{"x":1}"#, "{}"));
    for bad in ["tool {", "tool []", "tool 3", r#"tool {"name":"A","input":3}"#, r#"tool {"input":{}}"#] {
        assert!(text(&asked(bad)).starts_with("I cannot call that tool"), "{bad}");
    }
    let client = plan(&asked(r#"client add {"a": 1}"#));
    assert!(matches!(&client.blocks[0].kind, Kind::ToolUse { name, .. } if name == "mcp__client__add"));
}

#[test]
fn errors_end_after_their_number_of_times() {
    let (script, at) = (Script::builtin(), asked("overload"));
    let mut attempts = Attempts::default();
    let mut errors = |request: u64| {
        let tries = (0..4).map(|_| choose(&script, &at, 0, request, &mut attempts));
        tries.filter(|answer| matches!(answer, Answer::Error(_))).count()
    };
    assert_eq!((errors(1), errors(2), errors(1)), (2, 2, 0));
    assert!(matches!(answer(&script, &asked("error")), Answer::Error(ApiError { status: 400, .. })));
    assert!(matches!(answer(&script, &asked("hang")), Answer::Silence));
}

#[test]
fn the_error_count_is_bounded() {
    let mut attempts = Attempts::default();
    for request in 0..1000 {
        attempts.count(request);
    }
    assert_eq!(attempts.0.len(), MAX_ATTEMPTS);
    assert_eq!(attempts.count(999), 1);
}

#[test]
fn side_requests_play_no_rule() {
    assert_eq!(text(&Asked { tools: vec![], ..asked("error") }), "Demo");
}

#[test]
fn repeated_text_counts_and_is_bounded() {
    assert_eq!(text(&asked("count 3")).lines().count(), 3);
    assert!(text(&asked("count 3")).starts_with("1: "));
    assert!(text(&asked("count 18446744073709551615")).len() <= MAX_TEXT);
    assert_eq!(text(&asked("count nothing")).lines().count(), 1);
}

const MANUAL: &str = include_str!("../../../docs/demo-script.md");

#[test]
fn the_manuals_example_is_a_script() {
    let (_, after) = MANUAL.split_once("```json\n").unwrap();
    let (example, _) = after.split_once("```").unwrap();
    Script::from_json(example).unwrap();
}

#[test]
fn the_manual_names_every_word_of_the_builtin_script() {
    for help in Script::builtin().rules.iter().filter_map(|rule| rule.help.as_ref()) {
        let word = help.split(" – ").next().unwrap();
        assert!(word.starts_with('(') || MANUAL.contains(&format!("`{word}`")), "{word}");
    }
}
