//! The examples `predict` and `transform` from their command line, on a layer that a tiny run trained.

mod example;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor, safetensors::load};
use example::{Example, refusal};
use hebbian::{
    CompSpec, CompSpecConfig, Foldiak, FoldiakConfig, Invariance, InvarianceConfig, KrotovHopfield,
    KrotovHopfieldConfig, Learning, LearningRule, MultiWinner, MultiWinnerConfig, Registry, Rule,
    SpatialPooler, SpatialPoolerConfig, Stack,
};
use hebbian_classifier::{Features, FeaturesConfig, Labeled, Loss, SoftmaxRegression, encode, evaluate};
use hebbian_datasets::{Dataset, transforms};
use hebbian_model::{Model, Preprocess};
use hebbian_training::{Checkpoint, Generator};
use tempfile::TempDir;

const TRAINING: Example = Example {
    name: "kh_vs_backprop",
    small: &[
        "--units=100",
        "--train-size=3000",
        "--test-size=100",
        "--epochs=2",
        "--readout-epochs=4",
        "--backprop-epochs=1",
        "--control-epochs=1",
    ],
};
const PREDICT: Example = Example { name: "predict", small: &[] };
const TRANSFORM: Example = Example { name: "transform", small: &[] };

/// A finished run for all tests of this file.
static RUN: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    TRAINING.succeed(&folder.path().join("run"), &[]).expect("a run");
    folder
});

fn checkpoint_path() -> PathBuf {
    RUN.path().join("run").join("checkpoint.safetensors")
}

fn run(example: &Example<'_>, arguments: &[&Path]) -> Result<Output> {
    Ok(example.command().arg("--checkpoint").arg(checkpoint_path()).args(arguments).output()?)
}

fn text(output: &Output) -> Result<(String, String)> {
    Ok((String::from_utf8(output.stdout.clone())?, String::from_utf8(output.stderr.clone())?))
}

/// Pixels and labels of the first 100 test digits.
fn digits() -> Result<(Vec<Vec<u8>>, Vec<u32>)> {
    let test = Dataset::mnist()?.test.first(100)?;
    Ok((test.images().to_vec2()?, test.labels().expect("labels").to_vec1()?))
}

fn write_png(path: &Path, (width, height): (u32, u32), color: png::ColorType, pixels: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut encoder = png::Encoder::new(fs::File::create(path)?, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(())
}

fn write_digit(path: &Path, pixels: &[u8]) -> Result<()> {
    write_png(path, (28, 28), png::ColorType::Grayscale, pixels)
}

/// The features of images, and how many of them are classified right, by the library alone.
fn by_the_library(pixels: &[Vec<u8>], labels: &[u32]) -> Result<(Tensor, usize)> {
    let checkpoint = Checkpoint::load(&checkpoint_path(), &Device::Cpu)?;
    let weights = Registry::builtin().from_checkpoint(&checkpoint)?.weights()?;
    let scale = &checkpoint.tensors["feature.scale"];
    let features = Features::with_scale(FeaturesConfig::default(), weights, scale)?;
    let readout = SoftmaxRegression::from_state(&checkpoint.part("readout"))?;
    let images = Tensor::from_vec(pixels.concat(), (pixels.len(), 784), &Device::Cpu)?;
    let features = encode(&features, &transforms::scale(&images, &Device::Cpu)?)?;
    let examples = Labeled::new(features.clone(), Tensor::new(labels, &Device::Cpu)?)?;
    let right = evaluate(&readout, &examples, &Loss::default())?.accuracy * labels.len() as f64;
    Ok((features, right.round() as usize))
}

#[test]
fn a_hundred_digits_as_png_files_give_exactly_the_checkpoints_accuracy_on_them() -> Result<()> {
    let (folder, (pixels, labels)) = (tempfile::tempdir()?, digits()?);
    for (place, (pixels, label)) in pixels.iter().zip(&labels).enumerate() {
        write_digit(&folder.path().join(label.to_string()).join(format!("{place}.png")), pixels)?;
    }
    let (stdout, stderr) = text(&run(&PREDICT, &[folder.path()])?)?;
    let (_, right) = by_the_library(&pixels, &labels)?;
    assert_eq!(stderr, "");
    assert_eq!(stdout.lines().count(), 101, "{stdout}");
    let accuracy = format!("accuracy: {right} of 100 ({right}.00 %)");
    assert_eq!(stdout.lines().last(), Some(accuracy.as_str()));
    assert!((50..100).contains(&right), "{right}: neither a guess nor perfect");
    Ok(())
}

#[test]
fn an_idx_file_gives_the_same_answers_plain_or_gzipped() -> Result<()> {
    let (folder, (pixels, labels)) = (tempfile::tempdir()?, digits()?);
    let images = [&[0, 0, 8, 3, 0, 0, 0, 100, 0, 0, 0, 28, 0, 0, 0, 28][..], &pixels.concat()].concat();
    let answers =
        [&[0, 0, 8, 1, 0, 0, 0, 100][..], &labels.iter().map(|&l| l as u8).collect::<Vec<_>>()].concat();
    let (plain, packed) = (folder.path().join("images"), folder.path().join("images.gz"));
    fs::write(&plain, &images)?;
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&packed)?, flate2::Compression::fast());
    encoder.write_all(&images)?;
    encoder.finish()?;
    let labels_file = folder.path().join("labels");
    fs::write(&labels_file, answers)?;
    let (_, right) = by_the_library(&pixels, &labels)?;
    for file in [plain, packed] {
        let output = run(&PREDICT, &[&file, Path::new("--labels"), &labels_file])?;
        let (stdout, _) = text(&output)?;
        assert!(stdout.ends_with(&format!("accuracy: {right} of 100 ({right}.00 %)\n")), "{stdout}");
        let first = format!("{}[0]  {} ", file.display(), labels[0]);
        assert!(
            stdout.starts_with(&first) && stdout.lines().next().is_some_and(|line| line.contains(" %  "))
        );
    }
    let output = run(&PREDICT, &[&labels_file])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output)?.1.contains("1 dimensions, expected 3"), "{output:?}");
    Ok(())
}

#[test]
fn color_and_other_sizes_are_converted_with_a_note_and_color_that_is_gray_loses_nothing() -> Result<()> {
    let (folder, (pixels, _)) = (tempfile::tempdir()?, digits()?);
    let file = |name: &str| folder.path().join(name);
    let color: Vec<u8> = pixels[0].iter().flat_map(|&gray| [gray; 3]).collect();
    let doubled = |row: &[u8]| row.iter().flat_map(|&gray| [gray; 2]).collect::<Vec<u8>>();
    let large: Vec<u8> = pixels[0].chunks(28).flat_map(|row| [doubled(row), doubled(row)].concat()).collect();
    write_digit(&file("a-gray.png"), &pixels[0])?;
    write_png(&file("b-color.png"), (28, 28), png::ColorType::Rgb, &color)?;
    write_png(&file("c-large.png"), (56, 56), png::ColorType::Grayscale, &large)?;
    let (stdout, stderr) = text(&run(&PREDICT, &[folder.path()])?)?;
    let answers: Vec<&str> = stdout.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].split(' ').next(), answers[2].split(' ').next(), "{stdout}");
    let notes: Vec<&str> = stderr.lines().collect();
    assert_eq!(notes.len(), 2, "{stderr}");
    assert!(notes[0].starts_with("note: ") && notes[0].ends_with("b-color.png: made gray"), "{stderr}");
    assert!(notes[1].ends_with("c-large.png: resized from 56 x 56 to 28 x 28"), "{stderr}");
    Ok(())
}

#[test]
fn an_unreadable_file_is_named_and_stops_no_other() -> Result<()> {
    let (folder, (pixels, _)) = (tempfile::tempdir()?, digits()?);
    let file = |name: &str| folder.path().join(name);
    write_digit(&file("good.png"), &pixels[3])?;
    fs::write(file("bad.png"), &fs::read(file("good.png"))?[..60])?;
    fs::write(file("words.txt"), "seven")?;
    let output = run(&PREDICT, &[&file("words.txt"), &file("missing.png"), folder.path()])?;
    let (stdout, stderr) = text(&output)?;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(stdout.contains("good.png  "), "{stdout}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{stderr}");
    let parts = [
        "words.txt: found a file of another kind, expected an image (PNG, JPEG, BMP), npy",
        "missing.png: ",
        "bad.png: cannot be read",
    ];
    for (line, part) in lines.iter().zip(parts) {
        assert!(line.starts_with("error: ") && line.contains(part), "{line}");
    }
    Ok(())
}

#[test]
fn a_negative_is_noticed_and_turned_around_when_asked() -> Result<()> {
    let (folder, (pixels, _)) = (tempfile::tempdir()?, digits()?);
    let (right, turned) = (folder.path().join("right.png"), folder.path().join("negative.png"));
    write_digit(&right, &pixels[0])?;
    write_digit(&turned, &pixels[0].iter().map(|&value| 255 - value).collect::<Vec<u8>>())?;
    let answer = |arguments: &[&Path]| -> Result<(String, String)> {
        let (stdout, stderr) = text(&run(&PREDICT, arguments)?)?;
        Ok((stdout.split_once("  ").context("an answer")?.1.to_owned(), stderr))
    };
    let (_, noticed) = answer(&[&turned])?;
    assert!(
        noticed.contains("negative.png: bright at its edge") && noticed.contains("--invert"),
        "{noticed}"
    );
    assert_eq!(answer(&[Path::new("--invert"), &turned])?, answer(&[&right])?);
    Ok(())
}

#[test]
fn an_explanation_is_a_picture_for_each_image() -> Result<()> {
    let (folder, (pixels, _)) = (tempfile::tempdir()?, digits()?);
    let (images, drawn) = (folder.path().join("images"), folder.path().join("drawn"));
    for (place, pixels) in pixels.iter().take(3).enumerate() {
        write_digit(&images.join(format!("{place}.png")), pixels)?;
    }
    let output = run(&PREDICT, &[&images, Path::new("--explain"), &drawn])?;
    ensure!(output.status.success(), "{output:?}");
    for name in ["000-0.png", "001-1.png", "002-2.png"] {
        assert!(fs::read(drawn.join(name))?.starts_with(b"\x89PNG"), "{name}");
    }
    Ok(())
}

#[test]
fn an_unknown_published_layer_is_answered_with_those_that_there_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["one", "two"] {
        fs::copy(checkpoint_path(), folder.path().join(format!("{name}.safetensors")))?;
    }
    let ask = |name: &str| {
        let mut command = PREDICT.command();
        command.env("HEBBIAN_PRETRAINED", folder.path()).args(["--pretrained", name]).arg("no.png");
        command.output()
    };
    let message = refusal(&ask("three")?)?;
    let looked = format!("looked in {}, ", folder.path().display());
    for part in ["--pretrained three is not among those that were found: ", "one, ", "two (", &looked] {
        assert!(message.contains(part), "{message}");
    }
    let message = refusal(&ask("two")?)?;
    assert!(message.starts_with("error: no.png: "), "{message}");
    Ok(())
}

#[test]
fn classes_with_names_are_answered_by_their_names() -> Result<()> {
    let (folder, (pixels, labels)) = (tempfile::tempdir()?, digits()?);
    let (image, named) = (folder.path().join("image.png"), folder.path().join("named.safetensors"));
    write_digit(&image, &pixels[0])?;
    let names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let model = Model::load(&checkpoint_path(), &Registry::builtin(), &Device::Cpu)?;
    model.with_class_names(names.map(str::to_owned).to_vec())?.save(&named)?;
    let output = PREDICT.command().arg("--checkpoint").arg(&named).arg(&image).output()?;
    let expected = format!("image.png  {} ", names[labels[0] as usize]);
    assert!(text(&output)?.0.contains(&expected), "{output:?}");
    Ok(())
}

#[test]
fn transform_writes_the_librarys_features_whatever_the_batch() -> Result<()> {
    let (folder, (pixels, labels)) = (tempfile::tempdir()?, digits()?);
    let images = folder.path().join("images");
    for (place, (pixels, label)) in pixels.iter().zip(&labels).enumerate() {
        write_digit(&images.join(label.to_string()).join(format!("{place:03}.png")), pixels)?;
    }
    // Folders come one after the other.
    let mut order: Vec<usize> = (0..100).collect();
    order.sort_by_key(|&place| labels[place]);
    let sorted: Vec<Vec<u8>> = order.iter().map(|&place| pixels[place].clone()).collect();
    let sorted_labels: Vec<u32> = order.iter().map(|&place| labels[place]).collect();
    let expected = by_the_library(&sorted, &sorted_labels)?.0.to_vec2::<f32>()?;

    let (npy, tensors) = (folder.path().join("features.npy"), folder.path().join("features.safetensors"));
    let output = run(&TRANSFORM, &[&images, Path::new("--out"), &npy, Path::new("--batch-size=7")])?;
    ensure!(output.status.success(), "{output:?}");
    let close = |features: &[Vec<f32>]| {
        let pairs = features.iter().flatten().zip(expected.iter().flatten());
        assert!(
            pairs.into_iter().all(|(ours, theirs)| (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0))
        );
        assert_eq!((features.len(), features[0].len()), (100, 100));
    };
    close(&Tensor::read_npy(&npy)?.to_vec2::<f32>()?);

    let output = run(&TRANSFORM, &[&images, Path::new("--out"), &tensors])?;
    ensure!(output.status.success(), "{output:?}");
    let written = load(&tensors, &Device::Cpu)?;
    assert_eq!(written["features"].to_vec2::<f32>()?, expected, "one batch is the library's own");
    assert_eq!(written["labels"].to_vec1::<u32>()?, sorted_labels);

    let half = [Path::new("--out"), &npy, Path::new("--precision=f16")];
    let output = run(&TRANSFORM, &[&[images.as_path()], &half[..]].concat())?;
    ensure!(output.status.success(), "{output:?}");
    assert_eq!(Tensor::read_npy(&npy)?.dtype(), DType::F16);
    Ok(())
}

#[test]
fn transform_takes_a_datasets_split_and_refuses_what_makes_no_sense() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("test.safetensors");
    let output = run(&TRANSFORM, &[Path::new("--split=test"), Path::new("--out"), &out])?;
    ensure!(output.status.success(), "{output:?}");
    let written = load(&out, &Device::Cpu)?;
    assert_eq!(written["features"].dims(), [10_000, 100]);
    assert_eq!(
        written["labels"].to_vec1::<u32>()?,
        Dataset::mnist()?.test.labels().expect("labels").to_vec1::<u32>()?
    );

    let text = folder.path().join("features.txt");
    let message = refusal(&run(&TRANSFORM, &[Path::new("--split=test"), Path::new("--out"), &text])?)?;
    assert!(message.contains(".npy or .safetensors") && !text.exists(), "{message}");
    let message = refusal(&run(&TRANSFORM, &[Path::new("--out"), &out])?)?;
    assert!(message.contains("--split"), "{message}");
    Ok(())
}

/// Every rule, untrained.
fn rules() -> Result<Vec<Box<dyn LearningRule>>> {
    let (cpu, mut draws) = (Device::Cpu, Generator::new(0, "transform test"));
    let (units, inputs) = (20, 784);
    let winners = MultiWinnerConfig { units, winners: 3, ..Default::default() };
    let invariance = InvarianceConfig { units: 5, ..Default::default() };
    let hopfield = KrotovHopfieldConfig { units, ..Default::default() };
    let pooler = SpatialPoolerConfig { units, sparsity: 0.2, ..Default::default() };
    let below = MultiWinner::new(winners.clone(), inputs, &mut draws, &cpu)?;
    let above = Invariance::new(invariance.clone(), units, &mut draws, &cpu)?;
    Ok(vec![
        Box::new(KrotovHopfield::new(hopfield, inputs, &mut draws, &cpu)?),
        Box::new(CompSpec::new(CompSpecConfig { units, ..Default::default() }, inputs, &mut draws, &cpu)?),
        Box::new(Foldiak::new(FoldiakConfig { units, ..Default::default() }, inputs, &mut draws, &cpu)?),
        Box::new(MultiWinner::new(winners, inputs, &mut draws, &cpu)?),
        Box::new(Invariance::new(invariance, inputs, &mut draws, &cpu)?),
        Box::new(SpatialPooler::new(pooler, inputs, &mut draws, &cpu)?),
        Box::new(Stack::new(vec![Box::new(below), Box::new(above)], Learning::Online)?),
    ])
}

#[test]
fn transform_gives_what_the_forward_of_every_rule_gives_even_where_images_are_a_stretch_of_time() -> Result<()>
{
    let (folder, (pixels, _)) = (tempfile::tempdir()?, digits()?);
    let images = folder.path().join("images");
    for (place, pixels) in pixels.iter().take(30).enumerate() {
        write_digit(&images.join(format!("{place:02}.png")), pixels)?;
    }
    let pixels = Tensor::from_vec(pixels[..30].concat(), (30, 784), &Device::Cpu)?;
    for rule in rules()? {
        let name = rule.name();
        let preprocess = match name {
            SpatialPooler::NAME => Preprocess::Binarize(transforms::Threshold::Above(30)),
            _ => Preprocess::Scale,
        };
        let model = Model::new(rule)?.with_preprocess(preprocess);
        let (path, out) = (folder.path().join("checkpoint.safetensors"), folder.path().join("features.npy"));
        model.save(&path)?;
        let mut command = TRANSFORM.command();
        command.arg("--checkpoint").arg(&path).arg("--out").arg(&out).arg("--batch-size=7").arg(&images);
        let output = command.output()?;
        ensure!(output.status.success(), "{name}: {output:?}");
        let difference =
            (Tensor::read_npy(&out)? - model.rule().forward(&preprocess.apply(&pixels, &Device::Cpu)?)?)?;
        let difference = difference.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-4, "{name}: {difference}");
    }
    Ok(())
}
