//! Every hostile file of `tests/attacks` is refused in one line that says what `says.toml` says, and takes little time and memory.

mod example;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use example::Example;

/// The program that reads files of this kind, and what it is to make of one.
fn refused(file: &Path, out: &Path) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let predict = Example { name: "predict", small: &[] };
    let output = match file.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => {
            let experiment = Example { name: "kh_vs_backprop", small: &["--quiet", "--train-size=500"] };
            experiment.run(out, [Path::new("--config"), file])?
        }
        Some("safetensors") => predict
            .command()
            .arg("--checkpoint")
            .arg(file)
            .arg(root.join("docs/krotov_hopfield.png"))
            .output()?,
        _ => predict
            .command()
            .env("HEBBIAN_PRETRAINED", root.join("pretrained"))
            .arg("--pretrained=kh_mnist")
            .arg(file)
            .output()?,
    };
    let said = String::from_utf8(output.stderr)?;
    ensure!(matches!(output.status.code(), Some(1 | 2)), "{}: {said}", output.status);
    ensure!(output.stdout.is_empty() && said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    ensure!(said.len() < 2500 && !said.trim_end().contains(char::is_control), "{said}");
    Ok(said)
}

#[test]
fn every_hostile_file_is_refused_with_what_is_wrong_with_it() -> Result<()> {
    let attacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks");
    let says: BTreeMap<String, String> = toml::from_str(&fs::read_to_string(attacks.join("says.toml"))?)?;
    let ours = ["generate.py", "says.toml"];
    let mut files: Vec<PathBuf> =
        fs::read_dir(&attacks)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| !ours.iter().any(|name| path.ends_with(name)));
    assert_eq!(files.len(), says.len());
    let folder = tempfile::tempdir()?;
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let expected = says.get(&name).with_context(|| name.clone())?;
        match refused(&file, &folder.path().join("run")) {
            Ok(said) if said.contains(expected) => {}
            Ok(said) => wrong.push(format!("{name}: {said}")),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
