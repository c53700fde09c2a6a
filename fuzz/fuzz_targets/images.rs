//! Any bytes as images, each in a file whose name promises another kind.
#![no_main]

mod folder;

use hebbian_datasets::read_loose;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["i.png", "i.jpg", "i.npy", "i.npz", "i.csv", "i.safetensors", "i.gz", "i"] {
        let path = folder::folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        let _ = read_loose(&path, None);
    }
});
