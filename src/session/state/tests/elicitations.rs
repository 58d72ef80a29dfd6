//! What MCP servers ask people, by way of the agent.

use std::time::Duration;

use serde_json::{Value, json};

use super::asking::answers;
use super::world::World;
use crate::protocol::{ElicitationAction, ElicitationResponse, Json};
use crate::session::state::{Command, Input, Leftover, SessionLimits};

/// A session in whose turn an MCP server asks each of these; their requests to the agent's host are `e0`, `e1` ….
fn elicited(limits: SessionLimits, asks: &[Value]) -> (World, String, Vec<String>) {
    let mut world = World::with(limits, 1);
    world.attach(true);
    world.settle();
    let id = world.say("x");
    world.step();
    for (at, ask) in asks.iter().enumerate() {
        let mut request = json!({"subtype":"elicitation","mcp_server_name":"shop","message":"Which size?"});
        request.as_object_mut().unwrap().extend(ask.as_object().unwrap().clone());
        world.line(&json!({"type":"control_request","request_id":format!("e{at}"),"request":request}));
    }
    let asked =
        world.all("elicitation_request").into_iter().map(|event| event["id"].as_str().unwrap().to_owned());
    let asked = asked.collect();
    (world, id, asked)
}

fn form() -> Value {
    json!({"mode":"form","title":"Shoes","requested_schema":{"type":"object","required":["size"],
        "properties":{"size":{"type":"integer"},"colour":{"type":"string","enum":["red","blue"]}}}})
}

fn answer(id: &str, action: ElicitationAction, content: Option<Value>) -> Command {
    let content = content.map(|content| Json::of(&content).unwrap());
    Command::ElicitationResponse(ElicitationResponse { request_id: id.to_owned(), action, content })
}

fn resolved(world: &World) -> Vec<(Value, Value)> {
    let all = world.all("elicitation_resolved");
    all.into_iter().map(|event| (event["action"].clone(), event["reason"].clone())).collect()
}

#[test]
fn a_form_is_open_like_a_prompt_until_it_is_answered_with_what_fits() {
    let (mut world, id, asked) = elicited(SessionLimits::default(), &[form()]);
    let event = world.all("elicitation_request")[0].clone();
    assert_eq!(
        (&event["server"], &event["mode"], &event["title"]),
        (&json!("shop"), &json!("form"), &json!("Shoes"))
    );
    assert_eq!(event["schema"]["properties"]["size"]["type"], "integer");
    assert_eq!((&event["request_id"], event.get("url")), (&json!(id), None));
    assert_eq!(world.checker.status, "waiting_permission");
    for (content, named) in [
        (None, "`content` is missing"),
        (Some(json!({"colour":"red"})), "\"size\""),
        (Some(json!({"size":"42"})), "\"size\" is not a whole number"),
    ] {
        let refused = world.command(answer(&asked[0], ElicitationAction::Accept, content));
        assert_eq!(world.reply_to(&refused)["code"], "invalid_message");
        assert!(world.reply_to(&refused)["message"].as_str().unwrap().contains(named), "{named}");
    }
    assert!(answers(&world).is_empty() && resolved(&world).is_empty(), "it is still open");
    let first = world.command(answer(&asked[0], ElicitationAction::Accept, Some(json!({"size":42}))));
    let late = world.command(answer(&asked[0], ElicitationAction::Decline, None));
    assert_eq!(world.reply_to(&late)["code"], "unknown_request", "the first answer wins");
    assert_eq!(answers(&world), [json!({"action":"accept","content":{"size":42}})]);
    assert_eq!(resolved(&world), [(json!("accept"), json!("client"))]);
    assert_eq!(world.all("elicitation_resolved")[0]["request_id"], *first);
    assert_ne!(world.checker.status, "waiting_permission");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn several_are_answered_in_any_order_and_a_page_takes_no_content() {
    let page = json!({"mode":"url","url":"https://shop.example/pay","elicitation_id":"z"});
    let (mut world, _, asked) = elicited(SessionLimits::default(), &[form(), page, json!({})]);
    let event = world.all("elicitation_request")[1].clone();
    assert_eq!((&event["url"], event.get("schema")), (&json!("https://shop.example/pay"), None));
    world.command(answer(&asked[2], ElicitationAction::Decline, Some(json!({"x":1}))));
    world.command(answer(&asked[1], ElicitationAction::Accept, Some(json!({"x":1}))));
    let cancel = world.command(Command::Cancel { target_id: asked[0].clone() });
    assert_eq!(
        answers(&world),
        [json!({"action":"decline"}), json!({"action":"accept"}), json!({"action":"cancel"})]
    );
    assert_eq!(world.all("cancelled")[0]["request_id"], *cancel);
}

#[test]
fn it_goes_with_an_interrupt_the_end_of_the_session_or_its_time() {
    // The agent takes it back, or says nothing and only ends the turn.
    for takes_back in [true, false] {
        let (mut world, id, _) = elicited(SessionLimits::default(), &[form()]);
        world.command(Command::Interrupt { reason: None, tasks: false });
        if takes_back {
            world.line(&json!({"type":"control_cancel_request","request_id":"e0"}));
        }
        world.settle();
        assert_eq!(world.result_of(&id)["subtype"], "interrupted");
        assert_eq!(resolved(&world), [(json!("cancel"), json!("interrupt"))]);
    }

    let (mut world, ..) = elicited(SessionLimits::default(), &[form()]);
    world.command(Command::End { reason: None });
    world.settle();
    assert_eq!(resolved(&world), [(json!("cancel"), json!("session_ended"))]);

    let minute = Duration::from_mins(1);
    let limits = SessionLimits { permission_timeout: Some(minute), ..SessionLimits::default() };
    let (mut world, ..) = elicited(limits, &[form()]);
    world.pass(minute * 2);
    assert_eq!(resolved(&world), [(json!("cancel"), json!("timeout"))]);
    assert_eq!(answers(&world), [json!({"action":"cancel"})]);

    let (mut world, ..) = elicited(SessionLimits::default(), &[form()]);
    world.crash();
    assert_eq!(resolved(&world), [(json!("cancel"), json!("agent"))]);
}

#[test]
fn what_nobody_is_to_see_is_answered_all_the_same() {
    let limits = SessionLimits { max_prompts: 1, ..SessionLimits::default() };
    let (world, _, asked) = elicited(limits, &[form(), form(), json!({"mode":"telepathy"})]);
    assert_eq!(asked.len(), 1);
    let heard = &world.agent.as_ref().unwrap().heard;
    let heard: Vec<_> = heard.iter().filter(|line| line["type"] == "control_response").collect();
    assert_eq!(heard[0]["response"]["response"], json!({"action":"cancel"}));
    assert_eq!(heard[1]["response"]["subtype"], "error");

    let (mut world, ..) = elicited(SessionLimits::default(), &[]);
    world.command(Command::Interrupt { reason: None, tasks: false });
    world.line(&json!({"type":"control_request","request_id":"late","request":{"subtype":"elicitation","message":"?"}}));
    assert!(world.all("elicitation_request").is_empty(), "whoever stopped the turn has answered it, too");
}

#[test]
fn one_that_a_gateway_left_open_when_it_died_is_closed() {
    let mut world = World::new();
    let leftover = Leftover { elicitations: vec!["msg-7".to_owned()], ..Leftover::default() };
    world.checker.elicitations.insert("msg-7".to_owned());
    let now = world.now();
    world.state.take_up(leftover, now);
    world.input(Input::Tick);
    assert_eq!(resolved(&world), [(json!("cancel"), json!("agent"))]);
}
