//! Plans that the model wants to leave plan mode with.
//!
//! Since 2.1.330 the agent asks about an `ExitPlanMode` whose plan stands in the call without that plan; only the call has it.

use std::collections::VecDeque;

use crate::protocol::{Json, ToolUse};

/// The tool by which the model ends plan mode.
pub(super) const EXIT_PLAN_MODE: &str = "ExitPlanMode";

/// Calls whose plan is kept, the newest: one at a time is asked about, and one of each subagent at most.
const MOST: usize = 16;

type Object = serde_json::Map<String, serde_json::Value>;

/// The plans of calls that have no result yet, by the call's id; newest last.
#[derive(Debug, Default)]
pub(super) struct Plans(VecDeque<(Box<str>, serde_json::Value)>);

impl Plans {
    /// A call of the model's; most have no plan.
    pub(super) fn called(&mut self, call: &ToolUse<'_>) {
        if call.tool_name != EXIT_PLAN_MODE {
            return;
        }
        self.done(&call.tool_use_id);
        if let Some(plan) = call.tool_input.to::<Object>().ok().and_then(|mut input| input.remove("plan")) {
            if self.0.len() == MOST {
                self.0.pop_front();
            }
            self.0.push_back((call.tool_use_id.as_ref().into(), plan));
        }
    }

    /// The call has its result.
    pub(super) fn done(&mut self, tool_use_id: &str) {
        if !self.0.is_empty() {
            self.0.retain(|(id, _)| **id != *tool_use_id);
        }
    }

    /// The input that a person is to see of the call: with its plan, where the agent left that out.
    pub(super) fn complete(&self, tool_use_id: &str, input: Json<'static>) -> Json<'static> {
        let Some((_, plan)) = self.0.iter().find(|(id, _)| **id == *tool_use_id) else { return input };
        let mut object: Object = input.to().unwrap_or_default();
        if object.contains_key("plan") {
            return input;
        }
        object.insert("plan".to_owned(), plan.clone());
        Json::of(&object).unwrap_or(input)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::Executor;

    fn call<'a>(id: &'a str, tool: &'a str, input: &serde_json::Value) -> ToolUse<'a> {
        ToolUse {
            tool_use_id: id.into(),
            tool_name: tool.into(),
            tool_input: Json::of(input).unwrap(),
            parent_tool_use_id: None,
            agent: None,
            executor: Executor::Agent,
        }
    }

    #[test]
    fn a_call_is_shown_with_its_plan_until_it_has_its_result() {
        let mut plans = Plans::default();
        plans.called(&call("a", EXIT_PLAN_MODE, &json!({"plan": "# A", "more": 1})));
        plans.called(&call("b", "Other", &json!({"plan": "# B"})));
        plans.called(&call("c", EXIT_PLAN_MODE, &json!({})));
        let shown = |plans: &Plans, id: &str, input: serde_json::Value| {
            plans.complete(id, Json::of(&input).unwrap()).to::<serde_json::Value>().unwrap()
        };
        assert_eq!(shown(&plans, "a", json!({"x": 2})), json!({"plan": "# A", "x": 2}));
        assert_eq!(
            shown(&plans, "a", json!({"plan": "# File"})),
            json!({"plan": "# File"}),
            "it knows better"
        );
        for id in ["b", "c"] {
            assert_eq!(shown(&plans, id, json!({})), json!({}));
        }
        plans.done("a");
        assert_eq!(shown(&plans, "a", json!({})), json!({}));
    }

    #[test]
    fn only_so_many_are_kept_and_an_id_that_comes_again_is_another_call() {
        let mut plans = Plans::default();
        for plan in 0..2 * MOST {
            plans.called(&call("same", EXIT_PLAN_MODE, &json!({"plan": plan})));
        }
        assert_eq!(plans.0.len(), 1);
        for id in 0..2 * MOST {
            plans.called(&call(&id.to_string(), EXIT_PLAN_MODE, &json!({"plan": id})));
        }
        assert_eq!(plans.0.len(), MOST);
    }
}
