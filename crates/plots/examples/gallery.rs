//! Draws one of each into a folder, to be looked at:
//! `cargo run --release -p hebbian-plots --example gallery -- FOLDER`.

use std::path::PathBuf;
use std::time::Duration;

use candle_core::{Device, Tensor};
use hebbian_plots::{ConfusionMatrix, Curves, Film, Picture, ReceptiveFields, Scale, Series};

const GARMENTS: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("expected a folder")?);
    std::fs::create_dir_all(&folder)?;
    for (name, grid) in [("10x10", (10, 10)), ("4x25", (4, 25)), ("3x4", (3, 4)), ("1x1", (1, 1))] {
        let fields = ReceptiveFields::new(&smooth_fields(98, 1.0)?, (28, 28), grid);
        fields.draw()?.save(folder.join(format!("global_{name}.png")))?;
        let titled = fields.scale(Scale::PerUnit).title("Krotov-Hopfield, 2000 units, p = 3");
        titled.draw()?.save(folder.join(format!("per_unit_{name}.png")))?;
    }
    let panels = [accuracy().draw()?, loss().draw()?];
    panels[0].save(folder.join("accuracy.png"))?;
    Picture::side_by_side(&panels)?.save(folder.join("curves.png"))?;
    confusion().draw()?.save(folder.join("confusion.png"))?;
    confusion().class_names(GARMENTS).draw()?.save(folder.join("confusion_named.png"))?;
    let film = film()?;
    std::fs::write(folder.join("film.gif"), film.gif()?)?;
    film.picture(2)?.save(folder.join("film_3.png"))?;
    Ok(())
}

fn film() -> std::result::Result<Film, Box<dyn std::error::Error>> {
    let mut film = Film::new(Duration::from_millis(150));
    for epoch in 1..=20 {
        let weights = smooth_fields(100, f64::from(epoch) / 20.0)?;
        let fields = ReceptiveFields::new(&weights, (28, 28), (10, 10)).width(600);
        film.push(&fields.title(format!("epoch {epoch} of 20")).draw()?)?;
    }
    Ok(film)
}

/// Sums of a few soft blobs, stronger in some units than in others, with a little noise: `(units, 784)`.
fn smooth_fields(units: usize, formed: f64) -> candle_core::Result<Tensor> {
    let mut draw = Draw(7);
    let mut weights = Vec::with_capacity(units * 784);
    for unit in 0..units {
        let strength = formed * (0.3 + draw.next());
        let blobs = [(); 6].map(|_| (28.0 * draw.next(), 28.0 * draw.next(), 2.0 * draw.next() - 0.8));
        for input in 0..784 {
            let (y, x) = ((input / 28) as f64, (input % 28) as f64);
            let blob = |&(cx, cy, height): &(f64, f64, f64)| {
                height * (-((x - cx).powi(2) + (y - cy).powi(2)) / 18.0).exp()
            };
            let smooth: f64 = blobs.iter().map(blob).sum();
            let learned = strength * smooth + 0.08 * (1.0 - formed) * (draw.next() - 0.5);
            weights.push(if unit == 5 { 0.0 } else { learned as f32 });
        }
    }
    Tensor::from_vec(weights, (units, 784), &Device::Cpu)
}

fn accuracy() -> Curves {
    Curves {
        title: "Model accuracy".into(),
        x_label: "epoch".into(),
        y_label: "accuracy".into(),
        series: pairs(|e| 1.0 - 0.12 * (-e / 3.0).exp() - 0.004, 0.013),
        y_range: Some((0.9, 1.0)),
    }
}

fn loss() -> Curves {
    Curves {
        title: "Model loss".into(),
        x_label: "epoch".into(),
        y_label: "cross-entropy".into(),
        series: pairs(|e| 0.6 * (-e / 4.0).exp() + 0.01, -0.06),
        y_range: None,
    }
}

fn pairs(train: impl Fn(f64) -> f64, gap: f64) -> Vec<Series> {
    let mut draw = Draw(3);
    let mut pair = |model, hue, epochs: u32, speed: f64| {
        let mut curve = |gap: f64| {
            (1..=epochs).map(f64::from).map(|e| (e, train(e * speed) - gap + 0.003 * draw.next())).collect()
        };
        Series::train_and_validation(model, hue, curve(0.0), curve(gap))
    };
    [pair("Krotov-Hopfield", 0, 50, 0.4), pair("backprop", 1, 10, 2.0)].concat()
}

fn confusion() -> ConfusionMatrix {
    let mut draw = Draw(5);
    let mut count = |row, column| match row == column {
        true => 940 + (60.0 * draw.next()) as u64,
        false => (2.2 * draw.next()).powi(3) as u64,
    };
    let counts: Vec<Vec<u64>> =
        (0..10).map(|row| (0..10).map(|column| count(row, column)).collect()).collect();
    ConfusionMatrix::new(&counts).title("Krotov-Hopfield on the test images")
}

/// A small generator, so that the gallery needs no other crate.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
}
