//! An experiment killed after any step of any epoch leaves the folder that it would have left.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use hebbian::{Event, FitConfig, KrotovHopfield, KrotovHopfieldConfig, Parameters, Rule};
use hebbian_experiment::{Experiment, RunKey, RunSettings, Session, Steering, Subject, Watcher};
use hebbian_training::{Checkpoint, Generator, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Units on noise
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Tiny {
    /// Krotov-Hopfield units.
    rule: KrotovHopfieldConfig,
    /// How they learn.
    fit: FitConfig,
    /// Device and seeds.
    run: RunSettings,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            rule: KrotovHopfieldConfig { units: 6, k: 2, ..Default::default() },
            fit: FitConfig { epochs: EPOCHS, batch_size: 10, ..Default::default() },
            run: RunSettings::default(),
        }
    }
}

const EPOCHS: usize = 3;
const STEPS: usize = 5 * EPOCHS;

impl Parameters for Tiny {}

impl Experiment for Tiny {
    const NAME: &'static str = "tiny";

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, _: &Steering) -> Result<()> {
        Ok(())
    }
}

/// Images of 4 x 3 random pixels.
struct Noise(Tensor);

impl Subject for Noise {
    fn inputs(&self) -> &Tensor {
        &self.0
    }

    fn image(&self) -> (usize, usize) {
        (4, 3)
    }

    fn summary(&self) -> Value {
        json!("noise")
    }
}

/// Records the mean update of each three steps, which may lie in two epochs, until it is killed.
struct Means {
    sum: f32,
    killed_after: usize,
}

impl Watcher<KrotovHopfield> for Means {
    fn observe(&mut self, event: &Event<'_, KrotovHopfield>, line: &mut Map<String, Value>) -> Result<()> {
        let hebbian::Ended::Step(learned) = event.ended else {
            self.sum = 0.0;
            return Ok(());
        };
        if event.fit.step() > self.killed_after {
            bail!("killed");
        }
        self.sum += learned.measure("largest_update")?.to_scalar::<f32>()?;
        if event.fit.step().is_multiple_of(3) {
            let means = line.entry("means").or_insert_with(|| json!([]));
            means.as_array_mut().context("means")?.push(json!(self.sum / 3.0));
            self.sum = 0.0;
        }
        Ok(())
    }

    fn state(&self) -> Result<State> {
        Ok([("sum".to_owned(), Tensor::new(self.sum, &Device::Cpu)?)].into())
    }

    fn restore(&mut self, state: State) -> Result<()> {
        self.sum = state["sum"].to_scalar()?;
        Ok(())
    }
}

/// Runs the experiment into `out` until it ends or is killed, with a checkpoint after every step.
fn run(out: &Path, resume: bool, killed_after: usize) -> Result<()> {
    let steering = Steering {
        out: Some(out.to_owned()),
        resume,
        quiet: true,
        checkpoint_seconds: 0,
        ..Steering::default()
    };
    let tiny = Tiny::default();
    let mut session = Session::open(&tiny, &steering, "units", |device| {
        Ok(Noise(Generator::new(0, "noise").uniform((54, 12), 0.0, 1.0, device)?))
    })?;
    let key = RunKey { seed: 0, name: "units" };
    let mut draws = Generator::new(0, "units");
    let mut rule = KrotovHopfield::new(tiny.rule.clone(), 12, &mut draws, &session.device)?;
    let mut fit = session.begin(key, &mut rule, &tiny.fit)?;
    session.learn_watched(key, &mut fit, &mut rule, Means { sum: 0.0, killed_after })
}

/// What a run left.
#[derive(PartialEq)]
struct Left {
    film: Vec<u8>,
    checkpoint: Vec<u8>,
    /// The lines of its metrics, without seconds and the checksums, which are of them too.
    lines: Vec<Map<String, Value>>,
}

fn left(out: &Path) -> Result<Left> {
    let lines = fs::read_to_string(out.join("metrics.jsonl"))?;
    let mut lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Map<_, _>>, _>>()?;
    lines
        .iter_mut()
        .for_each(|line| line.retain(|name, _| !["seconds", "checksum"].contains(&name.as_str())));
    let checkpoint = fs::read(out.join("checkpoint.safetensors"))?;
    Ok(Left { film: fs::read(out.join("film.gif"))?, checkpoint, lines })
}

/// How many epochs and steps are behind the checkpoint in the middle of an epoch.
fn stands_at(out: &Path) -> Result<Option<(usize, usize)>> {
    let checkpoint = Checkpoint::load(&out.join("checkpoint.safetensors"), &Device::Cpu)?;
    let training = checkpoint.metadata.training.context("a training")?;
    Ok(training.under_way.map(|_| (training.epoch, training.step)))
}

#[test]
fn a_run_killed_after_any_step_leaves_what_it_would_have_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = folder.path().join("whole");
    run(&whole, false, STEPS)?;
    let expected = left(&whole)?;
    let records = expected.lines.iter().filter_map(|line| line["means"].as_array()).flatten().count();
    assert_eq!((expected.lines.len(), records), (EPOCHS, STEPS / 3));
    for killed_after in 1..STEPS {
        let out = folder.path().join(format!("killed-{killed_after}"));
        run(&out, false, killed_after).unwrap_err();
        let within = (killed_after % 5 > 0).then_some((killed_after / 5, killed_after));
        assert_eq!(stands_at(&out)?, within);
        run(&out, true, STEPS)?;
        assert!(left(&out)? == expected, "killed after step {killed_after}");
    }
    Ok(())
}

#[test]
fn a_run_killed_again_and_again_leaves_what_it_would_have_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, out) = (folder.path().join("whole"), folder.path().join("killed"));
    run(&whole, false, STEPS)?;
    for killed_after in 1..STEPS {
        run(&out, killed_after > 1, killed_after).unwrap_err();
    }
    run(&out, true, STEPS)?;
    assert!(left(&out)? == left(&whole)?);
    Ok(())
}

#[test]
fn frames_that_were_filmed_after_the_last_checkpoint_are_filmed_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, out) = (folder.path().join("whole"), folder.path().join("killed"));
    run(&whole, false, STEPS)?;
    run(&out, false, 8).unwrap_err();
    // A kill between the film and its checkpoint, at the latest moment.
    fs::copy(whole.join("film.gif"), out.join("film.gif"))?;
    run(&out, true, STEPS)?;
    assert!(left(&out)? == left(&whole)?);
    Ok(())
}

#[test]
fn notes_that_are_not_the_watchers_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    run(&out, false, 8).unwrap_err();
    let path = out.join("checkpoint.safetensors");
    let mut checkpoint = Checkpoint::load(&path, &Device::Cpu)?;
    checkpoint.metadata.notes = Some(json!(3));
    checkpoint.save(&path)?;
    let refused = run(&out, true, STEPS).unwrap_err().to_string();
    assert!(refused.ends_with("checkpoint.safetensors: its notes are no line of metrics"), "{refused}");
    Ok(())
}
