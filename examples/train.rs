//! One command for one's own data: a rule of your choice learns, is read out, evaluated and saved as a model that `predict`
//! and `transform` take.

use std::process::ExitCode;

use hebbian::{KrotovHopfield, Rule, WithRule, with_rule};
use hebbian_experiment::{Learner, StackOfRules, Train, asked_for, main as run};

/// Runs the training of a rule.
struct Run;

impl WithRule for Run {
    type Output = ExitCode;

    fn with<R: Rule<Config: Clone + Default>>(self) -> ExitCode {
        run::<Train<R>>()
    }
}

fn main() -> ExitCode {
    match asked_for().as_deref() {
        Some(StackOfRules::NAME) => run::<Train<StackOfRules>>(),
        Some(name) => with_rule(name, Run).unwrap_or_else(run::<Train<KrotovHopfield>>),
        None => run::<Train<KrotovHopfield>>(),
    }
}
