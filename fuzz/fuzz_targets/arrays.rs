//! Any bytes as a dataset in each of the forms that one file can have, and as a film.
#![no_main]

mod folder;

use hebbian_datasets::{Dataset, ReadOptions};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for names in [
        &["train.safetensors"][..],
        &["train.npz"],
        &["train.csv"],
        &["train_images.npy", "train_labels.npy"],
        &[
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ],
    ] {
        let folder = folder::folder().join(names[0]);
        std::fs::create_dir_all(&folder).unwrap();
        names.iter().for_each(|name| std::fs::write(folder.join(name), bytes).unwrap());
        let _ = Dataset::from_dir(&folder, &ReadOptions::default());
    }
    let _ = hebbian_plots::Film::open(bytes);
});
