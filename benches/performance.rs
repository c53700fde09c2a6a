//! Writes `docs/performance.md`: what criterion measured of each rule, beside its limit and the same work in Python.
//!
//! ```sh
//! cargo bench --workspace && cargo run --release --example performance
//! ```
//!
//! The peers of `benches/peers` run where `python3` (or what `PYTHON` names) has numpy, or torch; without them their
//! columns stay empty.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

/// One line of the page.
struct Line {
    rule: &'static str,
    /// Criterion's group and function.
    bench: [&'static str; 2],
    limit: Limit,
    /// What the peers in numpy call it; those in PyTorch add so.
    peer: &'static str,
}

/// What a step cannot be faster than.
enum Limit {
    /// So many vector operations on one core, of which the forward product shows how many a second there are.
    Operations(f64),
    /// So many times the forward product alone.
    Products(f64),
    /// So many cycles of one core, of operations that wait for one another.
    Cycles(f64),
}

/// The share of MNIST's training pixels that are on.
const ON: f64 = 0.191;

const STEP: &str = "2000 x 784, batch 100";
const PRODUCT: [&str; 2] = [STEP, "forward product alone"];
const STREAM: &str = "900 and 100 units, 400 inputs, 1000 frames one at a time";
const FOLDIAK: &str = "Foldiak, 100 patterns";
const BACKPROP: &str = "backprop, 50 steps of batch 100";

fn lines() -> Vec<Line> {
    let line = |rule, bench, limit, peer| Line { rule, bench, limit, peer };
    // Of 16 values a register, and 8 of f64; what is counted stands below the table.
    let sparse_product = 900.0 * 400.0 / 5.0 * 2.0 / 16.0;
    let invariance = 100.0 * 900.0 * 5.0 / 16.0;
    let settling = 59.0 * (1252.0 + 273.0 + 13.0 * 48.0);
    let overlaps = |strips: f64| strips * (150.0 / 8.0 * 24.0 + 100.0);
    vec![
        line(
            "Krotov-Hopfield, p = 2, k = 2",
            [STEP, "Krotov-Hopfield, p=2 k=2"],
            Limit::Products(ON),
            "Krotov-Hopfield, p=2 k=2",
        ),
        line(
            "Krotov-Hopfield, p = 3, k = 7",
            [STEP, "Krotov-Hopfield, p=3 k=7"],
            Limit::Products(ON),
            "Krotov-Hopfield, p=3 k=7",
        ),
        line("CompSpec", [STEP, "CompSpec"], Limit::Products(ON), "CompSpec"),
        line("charged CompSpec, rank 3", [STEP, "charged CompSpec, k=3"], Limit::Products(ON), ""),
        line(
            "spatial pooler, 900 columns, learning",
            ["900 columns", "learn"],
            Limit::Operations(overlaps(2.0) + 36.0 * 49.0 * 8.0),
            "spatial pooler, learning",
        ),
        line(
            "the same, encoding on one thread",
            ["900 columns", "encode, one thread"],
            Limit::Operations(overlaps(2.0)),
            "spatial pooler, encoding",
        ),
        line(
            "spatial pooler, 12 544 columns, learning",
            ["12544 columns", "learn"],
            Limit::Operations(overlaps(25.0) + 1254.0 * 2.0 * 24.0),
            "",
        ),
        line(
            "the same, encoding on one thread",
            ["12544 columns", "encode, one thread"],
            Limit::Operations(overlaps(25.0)),
            "",
        ),
        line("multi-winner, 900 units", [STREAM, "multi-winner"], Limit::Operations(sparse_product), ""),
        line(
            "multi-winner and invariance, 900 and 100 units",
            [STREAM, "multi-winner and invariance"],
            Limit::Operations(sparse_product + invariance),
            "multi-winner and invariance",
        ),
        line(
            "Földiák, lines, 16 units",
            [FOLDIAK, "8 x 8, 16 units, 200 iterations"],
            Limit::Cycles(199.0 * 127.0),
            "8 x 8, 16 units, 200 iterations",
        ),
        line(
            "Földiák, patches, 100 units",
            [FOLDIAK, "10 x 10, 100 units, 60 iterations"],
            Limit::Operations(settling),
            "10 x 10, 100 units, 60 iterations",
        ),
        line(
            "backprop, 784-2000-10, Adam",
            [BACKPROP, "784-2000-10, Adam"],
            Limit::Products(2.0),
            "backprop, Adam",
        ),
    ]
}

/// Milliseconds per step, criterion's mean over the steps of an iteration; `None` where the bench was not run.
fn milliseconds([group, function]: [&str; 2]) -> Option<f64> {
    let folder = Path::new("target/criterion").join(group).join(function).join("new");
    let read = |name: &str| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(folder.join(name)).ok()?).ok()
    };
    let nanoseconds = read("estimates.json")?["mean"]["point_estimate"].as_f64()?;
    let steps = read("benchmark.json")?["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    Some(nanoseconds / 1e6 / steps)
}

/// Milliseconds per step by name, as the peers that can run here print them.
fn peers() -> BTreeMap<String, f64> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut measured = BTreeMap::new();
    for peer in ["krotov_hopfield.py", "spatial_pooler.py", "invariance.py", "foldiak.py", "backprop.py"] {
        let output = Command::new(&python).arg(Path::new("benches/peers").join(peer)).output();
        match output {
            Ok(output) if output.status.success() => {
                let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                measured.extend(printed.lines().filter_map(|line| {
                    let (name, time) = line.split_once('\t')?;
                    Some((name.to_owned(), time.strip_suffix(" ms")?.parse().ok()?))
                }));
            }
            _ => eprintln!("{peer} did not run: {python} lacks what it imports"),
        }
    }
    measured
}

/// The clock of one core: a product of integers takes three cycles and the bit one, and each needs the one before.
fn cycles_a_millisecond() -> f64 {
    const STEPS: u32 = 100_000_000;
    let begin = Instant::now();
    let last = (0..STEPS).fold(black_box(3u64), |number, _| number.wrapping_mul(number | 1));
    black_box(last);
    f64::from(STEPS) * 4.0 / (begin.elapsed().as_secs_f64() * 1e3)
}

fn page(peers: &BTreeMap<String, f64>) -> Result<String> {
    let product =
        milliseconds(PRODUCT).context("run `cargo bench --workspace` first: there is no forward product")?;
    let flops = 2.0 * 2000.0 * 784.0 * 100.0 / (product / 1e3);
    // Of one core in a millisecond; each multiplies and adds 16 values.
    let operations = flops / std::thread::available_parallelism()?.get() as f64 / 32.0 / 1e3;
    let cycles = cycles_a_millisecond();
    let mut page = format!(
        "# Performance\n\nMade by `cargo bench --workspace && cargo run --release --example performance`. All times are of one \
         machine; compare within the page only. The forward product of 2000 units and 784 inputs with a batch of 100 takes candle \
         {product:.3} ms, {:.0} GFLOP/s{}.\n\n| rule | ms per step | limit, ms | ratio | numpy, ms | ratio | PyTorch, ms | ratio |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
        flops / 1e9,
        peers
            .get("forward product alone")
            .map_or(String::new(), |numpy| format!(", and numpy {numpy:.3} ms"))
    );
    let digits = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let times = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    for line in lines() {
        let ours = milliseconds(line.bench);
        let limit = match line.limit {
            Limit::Operations(count) => count / operations,
            Limit::Products(count) => count * product,
            Limit::Cycles(count) => count / cycles,
        };
        page += &format!(
            "| {} | {} | {limit:.4} | {} |",
            line.rule,
            digits(ours),
            times(ours.map(|ours| ours / limit))
        );
        for peer in [line.peer.to_owned(), format!("{}, PyTorch", line.peer)] {
            let peer = peers.get(&peer).copied();
            let slower = peer.zip(ours).map(|(peer, ours)| peer / ours);
            page += &format!(" {} | {} |", digits(peer), times(slower));
        }
        page.push('\n');
    }
    page += LIMITS;
    for (name, time) in peers {
        page += &format!("| {name} | {time:.4} |\n");
    }
    Ok(page)
}

const LIMITS: &str = "
The first ratio is how far a step is from its limit, the others how many times longer numpy and PyTorch take. In numpy it is the
notebook's step in our own words, in the notebook's float64 (the pooler's in float32); in PyTorch, float32 and all threads, it is
what one would write there. Ours are means; theirs are means too for the pooler and for Földiák, else the best of several repeats.
The limits:

* Krotov-Hopfield, CompSpec: the forward product over the pixels that are on, 19.1 % of them, at the rate of the dense one.
  Drawing the batch together, ranks, and reading and writing the rows that move come on top. Backprop: two dense products, the
  forward one and that of the gradient; the output layer and Adam (five arrays of 6.3 MB read or written) come on top.
* Spatial pooler: the additions of bits for 150 inputs that are on, 512 columns at a time; learning also moves the winners'
  permanences, sixteen at a time. Finding the winners comes on top.
* Multi-winner: a product and a sum for each weight of an input that is on, a fifth of them; the panels that they are read from
  are 1.4 MB. Invariance: two operations a weight to reconstruct and three to update, of weights that fill 360 KB: they come from
  the second-level cache and go back to it at each frame, and a layout in which they lie in that order was no faster.
* Földiák, patches: in each of 59 iterations, eight weights at a time, two fused products for those above the diagonal and one
  for those on it, 1252 in all; 273 to add up what lies in different lanes; and for every eight units 32 that step them on
  and a division, as long as 16. Learning comes on top.
* Földiák, lines: with 16 units an iteration is a chain in which each operation waits for the one before, whatever else the core
  could do. Of four cycles each: four fused products and two sums of what is received, its excess and slope, two bounds, the four
  that split the exponent, four of its polynomial, one sum; then 24 of a division, three more, and some 15 to hand vectors through
  memory.

What the peers in `benches/peers` took, in ms:

| peer | ms |
|---|---:|
";

fn main() -> Result<()> {
    let page = page(&peers())?;
    std::fs::write("docs/performance.md", &page)?;
    println!("{page}");
    Ok(())
}
