//! Writes `docs/scaling.md` and `docs/scaling.png`: what a Krotov-Hopfield step costs in time and memory as each size grows.
//!
//! ```sh
//! cargo run --release --example scaling
//! ```
//!
//! Each point is a process of its own, so that its peak of memory and its number of threads are its own. Takes some
//! minutes. Peaks are read from Linux; elsewhere they are missing.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use hebbian::{Fit, FitConfig, KrotovHopfield, KrotovHopfieldConfig, LearningRule, Rule};
use hebbian_datasets::{Dataset, transforms};
use hebbian_plots::{Curves, Picture, Series};
use hebbian_training::Generator;

/// One size of a step.
#[derive(Clone, Copy)]
struct Size {
    units: usize,
    batch: usize,
    inputs: usize,
    threads: usize,
}

const BASE: Size = Size { units: 2000, batch: 100, inputs: 784, threads: 2 };

/// What one size took.
struct Cost {
    milliseconds: f64,
    megabytes: Option<f64>,
}

/// One curve: what grows, how the time should grow with it, and the sizes.
struct Axis {
    name: &'static str,
    expected: f64,
    sizes: Vec<(usize, Size)>,
}

fn axes() -> Vec<Axis> {
    let axis = |name, expected, values: &[usize], size: fn(usize) -> Size| Axis {
        name,
        expected,
        sizes: values.iter().map(|&value| (value, size(value))).collect(),
    };
    vec![
        axis("units", 1.0, &[500, 1000, 2000, 4000, 8000, 16_000], |units| Size { units, ..BASE }),
        axis("batch", 1.0, &[1, 10, 100, 1000], |batch| Size { batch, ..BASE }),
        axis("inputs", 1.0, &[196, 784, 3136], |inputs| Size { inputs, ..BASE }),
        axis("threads", -1.0, &[1, 2], |threads| Size { threads, ..BASE }),
    ]
}

/// The part of the parent: measures `size` in a process of its own.
fn measured(size: Size) -> Result<Cost> {
    let Size { units, batch, inputs, threads } = size;
    let numbers = [units, batch, inputs].map(|number| number.to_string());
    in_a_process(&[&["step".to_owned()][..], &numbers].concat(), threads)
}

fn in_a_process(arguments: &[String], threads: usize) -> Result<Cost> {
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env("RAYON_NUM_THREADS", threads.to_string())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut numbers = printed.split_whitespace().map(str::parse);
    let (Some(Ok(milliseconds)), true) = (numbers.next(), output.status.success()) else {
        bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    Ok(Cost { milliseconds, megabytes: numbers.next().and_then(|peak| peak.ok()) })
}

/// The part of a child: prints its milliseconds and its peak of memory.
fn step(units: usize, batch: usize, inputs: usize) -> Result<()> {
    const SECONDS: f64 = 1.5;
    let mut draws = Generator::new(0, "scaling");
    let config = KrotovHopfieldConfig { units, ..Default::default() };
    let mut rule = KrotovHopfield::new(config, inputs, &mut draws, &Device::Cpu)?;
    // Of such draws 19 % are on, as of MNIST's pixels.
    let samples: Vec<Tensor> = (0..8)
        .map(|_| draws.uniform((batch, inputs), -4.26, 1.0, &Device::Cpu)?.relu())
        .collect::<candle_core::Result<_>>()?;
    samples.iter().try_for_each(|sample| rule.learn(sample).map(drop))?;
    let (begin, mut best, mut next) = (Instant::now(), f64::INFINITY, samples.iter().cycle());
    while begin.elapsed().as_secs_f64() < SECONDS {
        let Some(sample) = next.next() else { bail!("there is no sample") };
        let begin = Instant::now();
        rule.learn(sample)?;
        best = best.min(begin.elapsed().as_secs_f64());
    }
    report(best)
}

/// An epoch over all of MNIST's training images.
fn epoch(units: usize) -> Result<()> {
    let mnist = Dataset::mnist()?;
    let inputs = transforms::scale(mnist.train.images(), &Device::Cpu)?;
    let config = KrotovHopfieldConfig { units, ..Default::default() };
    let mut rule = KrotovHopfield::new(config, 784, &mut Generator::new(0, "scaling"), &Device::Cpu)?;
    let begin = Instant::now();
    let config = FitConfig { epochs: 1, batch_size: 100, ..Default::default() };
    Fit::new(config, 0)?.run(&mut rule, &inputs, &mut [])?;
    report(begin.elapsed().as_secs_f64())
}

/// How long MNIST takes to be ready as floating-point numbers.
fn start() -> Result<()> {
    let begin = Instant::now();
    transforms::scale(Dataset::mnist()?.train.images(), &Device::Cpu)?;
    report(begin.elapsed().as_secs_f64())
}

fn report(seconds: f64) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let megabytes = peak.and_then(|peak| peak.trim().parse::<f64>().ok()).map(|kilobytes| kilobytes / 1024.0);
    println!("{} {}", 1e3 * seconds, megabytes.map_or(String::new(), |peak| peak.to_string()));
    Ok(())
}

/// The exponent with which time grows, by least squares over the logarithms.
fn growth(points: &[(f64, f64)]) -> f64 {
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    covariance / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

fn page() -> Result<(String, Picture)> {
    let mut page = "# Scaling\n\nMade by `cargo run --release --example scaling`. One Krotov-Hopfield step with the default \
                    rule, 2000 units, 784 inputs of which 19 % are on, a batch of 100 and 2 threads, except where the \
                    table says otherwise; the best of the steps of 1.5 seconds, each size in a process of its own.\n\n\
                    ![Time a step as units, batch, inputs and threads grow](scaling.png)\n\n\
                    | what grows | to | ms per step | peak memory, MB | growth | expected |\n|---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    let mut panels = Vec::new();
    for Axis { name, expected, sizes } in axes() {
        let costs = sizes.iter().map(|&(_, size)| measured(size)).collect::<Result<Vec<Cost>>>()?;
        let logarithms =
            |(&(value, _), cost): (&(usize, Size), &Cost)| ((value as f64).log2(), cost.milliseconds.log2());
        let points: Vec<(f64, f64)> = sizes.iter().zip(&costs).map(logarithms).collect();
        let fitted = growth(&points);
        let (last, &(x, y)) = (points.len() - 1, points.last().context("an axis has sizes")?);
        for (row, (&(value, _), cost)) in sizes.iter().zip(&costs).enumerate() {
            let peak = cost.megabytes.map_or("-".to_owned(), |peak| format!("{peak:.0}"));
            let exponents =
                if row == last { format!("{fitted:.2} | {expected:.2}") } else { " | ".to_owned() };
            page += &format!("| {name} | {value} | {:.3} | {peak} | {exponents} |\n", cost.milliseconds);
        }
        let first = points[0].0;
        let line = vec![(first, y + expected * (first - x)), (x, y)];
        panels.push(
            Curves {
                title: format!("{name}: growth {fitted:.2}, expected {expected:.2}"),
                x_label: format!("log2 of {name}"),
                y_label: "log2 of ms per step".to_owned(),
                series: vec![Series::solid("measured", 0, points), Series::dashed("expected", 1, line)],
                y_range: None,
            }
            .draw()?,
        );
    }
    let whole = in_a_process(&["epoch".to_owned(), "16000".to_owned()], BASE.threads)?;
    let ready = in_a_process(&["start".to_owned()], BASE.threads)?;
    let peak = |cost: &Cost| cost.megabytes.map_or("-".to_owned(), |peak| format!("{peak:.0} MB"));
    page += &format!(
        "\nAn epoch of 16 000 units over MNIST's 60 000 images takes {:.1} s and {} at its peak. MNIST's training images are \
         ready as floating-point numbers after {:.2} s.\n",
        whole.milliseconds / 1e3,
        peak(&whole),
        ready.milliseconds / 1e3
    );
    Ok((page, Picture::side_by_side(&panels)?))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| -> Result<usize> {
        let argument = arguments.get(place).context("expected a number")?;
        argument.parse().with_context(|| format!("`{argument}` is not a number"))
    };
    match arguments.first().map(String::as_str) {
        None => {
            let (page, picture) = page()?;
            picture.save("docs/scaling.png")?;
            std::fs::write("docs/scaling.md", &page)?;
            println!("{page}");
            Ok(())
        }
        Some("step") => step(number(1)?, number(2)?, number(3)?),
        Some("epoch") => epoch(number(1)?),
        Some("start") => start(),
        Some(other) => {
            bail!("`{other}` is not allowed: no argument measures everything and writes docs/scaling.md")
        }
    }
}
