//! No step of any rule reads a tensor back to the host. Transfers are counted by the emulated driver of `.ci/emulator`,
//! which writes each into the file that `EMULATED_CUDA_LOG` names; where it does not run, the test is named as skipped.

mod rules;

use std::collections::BTreeMap;

use candle_core::{Device, Result};
use rules::cases;

#[test]
fn no_step_reads_a_tensor_back() -> Result<()> {
    let log = std::env::var_os("EMULATED_CUDA_LOG");
    let (Some(log), Ok(device)) = (log, Device::new_cuda(0)) else {
        println!("skipped no_step_reads_a_tensor_back: transfers are counted on the emulated device only");
        return Ok(());
    };
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    for mut case in cases(&device)? {
        case.step(0)?;
        let before = lines().len();
        let learned = case.step(1)?;
        let during = lines()[before..].to_owned();
        let count = |what: &str| during.lines().filter(|line| line.starts_with(what)).count();
        println!(
            "{}: {} launches, {} small copies to the device, {} on it, {} fills",
            case.name,
            count("launch"),
            count("to-device"),
            count("on-device"),
            count("memset")
        );
        let mut kernels = BTreeMap::new();
        during
            .lines()
            .filter(|line| line.starts_with("launch"))
            .for_each(|line| *kernels.entry(line).or_insert(0) += 1);
        println!("    {kernels:?}");
        assert!(count("launch") > 0, "{}: nothing was logged", case.name);
        assert_eq!(count("to-host"), 0, "{}:\n{during}", case.name);
        // The count can see what it is to rule out.
        let before = lines().len();
        learned.measures[0].1.to_scalar::<f32>()?;
        assert_eq!(lines()[before..].matches("to-host").count(), 1);
    }
    Ok(())
}
