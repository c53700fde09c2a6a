//! Every rule, small, with inputs to learn from.

use candle_core::{DType, Device, Result, Tensor};
use hebbian::{
    BoostToward, Charge, CompSpec, CompSpecConfig, Convolution, ConvolutionConfig, Foldiak, FoldiakConfig,
    ImageSize, Invariance, InvarianceConfig, KrotovHopfield, KrotovHopfieldConfig, Learned, Learning,
    LearningRule, Mirrored, MirroredConfig, MultiWinner, MultiWinnerConfig, Normalization, Padding,
    PatchNorm, Pool, Pooling, PoolingConfig, RowSize, Rule, Settling, SoftHebb, SoftHebbConfig,
    SpatialPooler, SpatialPoolerConfig, Stack, Standardize, StandardizeConfig, Starved, Triangle,
    TriangleConfig,
};
use hebbian_training::Generator;

/// Of each input.
const INPUTS: usize = 150;
const BATCH: usize = 10;

/// A rule with a name of its own.
pub struct Case {
    pub name: &'static str,
    pub rule: Box<dyn LearningRule>,
    pub inputs: Tensor,
}

impl Case {
    #[allow(dead_code)]
    pub fn batch(&self, step: usize) -> Result<Tensor> {
        self.inputs.narrow(0, step * BATCH, BATCH)
    }

    #[allow(dead_code)]
    pub fn step(&mut self, step: usize) -> Result<Learned> {
        let batch = self.batch(step)?;
        let learned = self.rule.learn(&batch);
        learned.map_err(|error| candle_core::Error::msg(format!("{}, step {step}: {error}", self.name)))
    }

    /// The same at its beginning, on `device`.
    #[allow(dead_code)]
    pub fn again(&self, device: &Device) -> Result<Self> {
        let same = cases(device)?.into_iter().find(|case| case.name == self.name);
        same.ok_or_else(|| candle_core::Error::msg("no such case"))
    }
}

pub fn cases(device: &Device) -> Result<Vec<Case>> {
    let draws = || Generator::new(7, "rules");
    let gray = Generator::new(0, "inputs").uniform((40, INPUTS), -1.0, 1.0, &Device::Cpu)?.relu()?;
    let binary = gray.gt(0.4)?.to_dtype(DType::F32)?;
    let (gray, binary) = (gray.to_device(device)?, binary.to_device(device)?);

    let krotov_hopfield = |p, k| {
        let config = KrotovHopfieldConfig { units: 37, p, k, ..Default::default() };
        KrotovHopfield::new(config, INPUTS, &mut draws(), device)
    };
    let comp_spec = |charge| {
        let config = CompSpecConfig { units: 37, charge, ..Default::default() };
        CompSpec::new(config, INPUTS, &mut draws(), device)
    };
    let soft_hebb = |inverse_temperature, anti_hebbian, rectified| {
        let config =
            SoftHebbConfig { units: 37, inverse_temperature, anti_hebbian, rectified, ..Default::default() };
        SoftHebb::new(config, INPUTS, &mut draws(), device)
    };
    let foldiak = |settling| {
        let config = FoldiakConfig { units: 21, settling, ..Default::default() };
        Foldiak::new(config, INPUTS, &mut draws(), device)
    };
    let multi_winner = |minibatch| {
        let config = MultiWinnerConfig { units: 70, winners: 3, minibatch, ..Default::default() };
        MultiWinner::new(config, INPUTS, &mut draws(), device)
    };
    let invariance = |inputs, of, size, minibatch| {
        let normalization = Some(Normalization { every: 7, size, of });
        let config = InvarianceConfig { units: 20, normalization, minibatch, ..Default::default() };
        Invariance::new(config, inputs, &mut draws(), device)
    };
    let pooler = |starved, boost_toward, minibatch| {
        let config = SpatialPoolerConfig {
            units: 60,
            sparsity: 0.1,
            min_activation: 1.0,
            activity_period: 20.0,
            overlap_period: 20.0,
            starved,
            boost_toward,
            minibatch,
            ..Default::default()
        };
        SpatialPooler::new(config, INPUTS, &mut draws(), device)
    };
    let equilibrium = Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations: 20, tolerance: 1e-3 };
    let charge = Charge { largest_weight: 1.0, ..Default::default() };
    let stack = Stack::new(
        vec![Box::new(multi_winner(1)?), Box::new(invariance(70, RowSize::Sum, 2.0, 1)?)],
        Learning::Online,
    )?;
    let image = ImageSize::new(6, 5, 5);
    let convolution = || {
        let config = SoftHebbConfig { units: 8, ..Default::default() };
        let rule = SoftHebb::new(config, 6 * 3 * 3, &mut draws(), device)?;
        Convolution::new(Box::new(rule), ConvolutionConfig::new(image, 3))
    };
    let krotov_hopfield_patches = {
        let config = KrotovHopfieldConfig { units: 9, p: 2.0, k: 2, ..Default::default() };
        let rule = KrotovHopfield::new(config, 6 * 3 * 3, &mut draws(), device)?;
        let patches = ConvolutionConfig::new(image, 3).with_padding(Padding::None).with_stride(2);
        Convolution::new(Box::new(rule), patches.with_patches(PatchNorm::UnitLength))?
    };
    let deep = {
        let standardize = StandardizeConfig { input: image };
        let filters = convolution()?.output();
        let pooling = PoolingConfig { input: filters, kind: Pool::Max, kernel: 4, stride: 2, padding: 1 };
        let rules: Vec<Box<dyn LearningRule>> = vec![
            Box::new(Standardize::new(standardize, INPUTS, &mut draws(), device)?),
            Box::new(convolution()?),
            Box::new(Triangle::of(TriangleConfig { input: filters, power: 0.7 })?),
            Box::new(Pooling::of(pooling)?),
        ];
        Stack::new(rules, Learning::Online)?
    };
    let mirrored = Mirrored::new(Box::new(convolution()?), MirroredConfig::new(image))?;
    let cases: Vec<(&'static str, Box<dyn LearningRule>, &Tensor)> = vec![
        ("Krotov-Hopfield, p=2", Box::new(krotov_hopfield(2.0, 2)?), &gray),
        ("Krotov-Hopfield, p=3", Box::new(krotov_hopfield(3.0, 7)?), &gray),
        ("Krotov-Hopfield, p=2.5", Box::new(krotov_hopfield(2.5, 37)?), &gray),
        ("CompSpec", Box::new(comp_spec(None)?), &gray),
        ("charged CompSpec", Box::new(comp_spec(Some(Charge::default()))?), &gray),
        ("charged CompSpec, brought back", Box::new(comp_spec(Some(charge))?), &gray),
        ("Földiák", Box::new(foldiak(equilibrium)?), &binary),
        ("Földiák, one shot", Box::new(foldiak(Settling::OneShot)?), &binary),
        ("multi-winner", Box::new(multi_winner(1)?), &gray),
        ("multi-winner, minibatch 4", Box::new(multi_winner(4)?), &gray),
        ("invariance", Box::new(invariance(INPUTS, RowSize::Maximum, 0.1, 1)?), &gray),
        ("invariance, minibatch 4", Box::new(invariance(INPUTS, RowSize::Sum, 2.0, 4)?), &gray),
        ("SoftHebb", Box::new(soft_hebb(1.0, true, false)?), &gray),
        ("SoftHebb, rectified and without repulsion", Box::new(soft_hebb(12.0, false, true)?), &gray),
        ("pooler", Box::new(pooler(Starved::Left, BoostToward::Mean, 1)?), &binary),
        ("pooler, lowest", Box::new(pooler(Starved::Lowest { share: 0.1 }, BoostToward::Mean, 1)?), &binary),
        (
            "pooler, below best, minibatch 4",
            Box::new(pooler(Starved::BelowBest { fraction: 0.9 }, BoostToward::Target, 4)?),
            &binary,
        ),
        ("stack", Box::new(stack), &gray),
        ("convolution", Box::new(convolution()?), &gray),
        ("Krotov-Hopfield on patches", Box::new(krotov_hopfield_patches), &gray),
        ("convolutional stack", Box::new(deep), &gray),
        ("mirrored convolution", Box::new(mirrored), &gray),
    ];
    Ok(cases.into_iter().map(|(name, rule, inputs)| Case { name, rule, inputs: inputs.clone() }).collect())
}
