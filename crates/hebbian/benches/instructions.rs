//! Instructions of one learning step of each rule, counted by valgrind: a number that does not depend on what else the
//! machine does, and that fails when it grows past its limit.
//!
//! ```sh
//! cargo install gungraun-runner --version 0.20.0    # once; and valgrind
//! cargo bench --workspace --bench instructions
//! ```
//!
//! Valgrind knows AVX2 but not AVX-512, so that these are the instructions of AVX2. Each limit is a tenth above what was
//! counted when it was set.

use candle_core::{DType, Device, Result, Tensor};
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use hebbian::{
    CompSpec, CompSpecConfig, Foldiak, FoldiakConfig, Invariance, InvarianceConfig, KrotovHopfield,
    KrotovHopfieldConfig, Learned, LearningRule, MultiWinner, MultiWinnerConfig, Rule, SpatialPooler,
    SpatialPoolerConfig,
};
use hebbian_training::Generator;

/// A rule that has learned once, so that whatever it derives from its weights is there, and what it learns next.
type Case = (Box<dyn LearningRule>, Tensor);

/// Inputs of which a fifth is on, as of MNIST.
fn inputs(samples: usize, width: usize) -> Result<Tensor> {
    let mut generator = Generator::new(0, "instructions");
    let values = generator.uniform((samples, width), 0.0, 1.0, &Device::Cpu)?;
    let on = generator.uniform((samples, width), 0.0, 1.0, &Device::Cpu)?.lt(0.2)?;
    values * on.to_dtype(DType::F32)?
}

fn case<R: LearningRule + 'static>(rule: impl FnOnce() -> Result<R>, inputs: Result<Tensor>) -> Case {
    // One thread, and that this one, before anything asks for more: valgrind counts what happens in it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().expect("the first pool of the process");
    let (mut rule, inputs) = (rule().expect("a valid config"), inputs.expect("draws on the CPU"));
    rule.learn(&inputs).expect("finite inputs");
    (Box::new(rule), inputs)
}

fn draws() -> Generator {
    Generator::new(0, "instructions of a rule")
}

fn krotov_hopfield() -> Case {
    let config = KrotovHopfieldConfig { units: 500, ..Default::default() };
    case(|| KrotovHopfield::new(config, 784, &mut draws(), &Device::Cpu), inputs(100, 784))
}

fn comp_spec() -> Case {
    let config = CompSpecConfig { units: 500, ..Default::default() };
    case(|| CompSpec::new(config, 784, &mut draws(), &Device::Cpu), inputs(100, 784))
}

fn spatial_pooler() -> Case {
    let binary = inputs(100, 784).and_then(|inputs| inputs.gt(0.0)?.to_dtype(DType::U8));
    case(|| SpatialPooler::new(SpatialPoolerConfig::default(), 784, &mut draws(), &Device::Cpu), binary)
}

fn multi_winner() -> Case {
    case(|| MultiWinner::new(MultiWinnerConfig::default(), 400, &mut draws(), &Device::Cpu), inputs(100, 400))
}

fn invariance() -> Case {
    case(|| Invariance::new(InvarianceConfig::default(), 900, &mut draws(), &Device::Cpu), inputs(100, 900))
}

fn foldiak() -> Case {
    case(|| Foldiak::new(FoldiakConfig::default(), 64, &mut draws(), &Device::Cpu), inputs(10, 64))
}

/// So many units that only half of their symmetric weights is read.
fn foldiak_patches() -> Case {
    let config = FoldiakConfig { units: 100, activity: 0.05, ..Default::default() };
    case(|| Foldiak::new(config, 100, &mut draws(), &Device::Cpu), inputs(10, 100))
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions)]));
    config
}

#[library_benchmark]
#[bench::krotov_hopfield(args = (krotov_hopfield()), config = at_most(8_060_000))]
#[bench::comp_spec(args = (comp_spec()), config = at_most(6_870_000))]
#[bench::spatial_pooler(args = (spatial_pooler()), config = at_most(19_000_000))]
#[bench::multi_winner(args = (multi_winner()), config = at_most(6_270_000))]
#[bench::invariance(args = (invariance()), config = at_most(30_700_000))]
#[bench::foldiak(args = (foldiak()), config = at_most(1_550_000))]
#[bench::foldiak_patches(args = (foldiak_patches()), config = at_most(21_100_000))]
fn step((mut rule, inputs): Case) -> Result<Learned> {
    rule.learn(&inputs)
}

library_benchmark_group!(name = steps, benchmarks = step);
main!(library_benchmark_groups = steps);
