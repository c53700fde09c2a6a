//! What holds for the parameters of every classifier.

use hebbian_classifier::{DescentConfig, FeaturesConfig, LogisticRegressionConfig, Loss, Parameters};
use hebbian_training::Schedule;
use hebbian_training::schema::{schema, undescribed};

fn check<P: Parameters + Default>() {
    assert_eq!(undescribed(&schema::<P>()), [""; 0], "{}: fields without a doc comment", P::schema_name());
    P::default().validate().unwrap();
}

#[test]
fn every_parameter_says_what_it_means_and_its_default_is_allowed() {
    check::<DescentConfig>();
    check::<FeaturesConfig>();
    check::<LogisticRegressionConfig>();
}

#[test]
fn the_schedule_and_the_loss_of_a_descent_are_checked() {
    let refusal = |config: DescentConfig| config.validate().unwrap_err().to_string();
    let schedule = Schedule::Staircase { every: 0, factor: 0.5 };
    let refused = refusal(DescentConfig { schedule, ..Default::default() });
    assert!(refused.starts_with("schedule = staircase:0:0.5 is not allowed"), "{refused}");
    for loss in [
        Loss::CrossEntropy { smoothing: 1.0 },
        Loss::CrossEntropy { smoothing: f64::NAN },
        Loss::Tanh { beta: 0.0, m: 2.0 },
        Loss::Tanh { beta: 1.0, m: f64::INFINITY },
    ] {
        let refused = refusal(DescentConfig { loss, ..Default::default() });
        assert!(refused.starts_with("loss = "), "{refused}");
    }
}

#[test]
fn dropout_leaves_out_a_share_and_never_all() {
    for dropout in [-0.1, 1.0, f64::NAN] {
        let refused = DescentConfig { dropout, ..Default::default() }.validate().unwrap_err().to_string();
        assert!(refused.starts_with("dropout = "), "{refused}");
        assert!(refused.contains("at least 0, below 1") || dropout.is_nan(), "{refused}");
    }
}
