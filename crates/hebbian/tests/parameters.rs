//! What holds for the parameters of every rule.

use hebbian::{
    CompSpecConfig, FitConfig, FoldiakConfig, InvarianceConfig, KrotovHopfieldConfig, MultiWinnerConfig,
    Parameters, SoftHebbConfig, SpatialPoolerConfig,
};
use hebbian_training::Schedule;
use hebbian_training::schema::{schema, undescribed};

fn check<P: Parameters + Default>() {
    assert_eq!(undescribed(&schema::<P>()), [""; 0], "{}: fields without a doc comment", P::schema_name());
    P::default().validate().unwrap();
}

#[test]
fn every_parameter_says_what_it_means_and_its_default_is_allowed() {
    check::<KrotovHopfieldConfig>();
    check::<CompSpecConfig>();
    check::<FoldiakConfig>();
    check::<MultiWinnerConfig>();
    check::<InvarianceConfig>();
    check::<SoftHebbConfig>();
    check::<SpatialPoolerConfig>();
    check::<FitConfig>();
}

#[test]
fn a_staircase_without_steps_is_refused_before_anything_is_divided_by_them() {
    let schedule = Schedule::Staircase { every: 0, factor: 0.5 };
    let refused = FitConfig { schedule, ..Default::default() }.validate().unwrap_err();
    assert!(refused.to_string().starts_with("schedule = staircase:0:0.5 is not allowed"), "{refused}");
}
