//! Whether a JPEG file is whole. Decoders fill what is missing with gray and say nothing.

/// Whether the file has the marker with which an image ends (EOI), and not only that of a small image inside its EXIF data.
/// Source: ITU-T T.81, annex B.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    // Behind FF, 0 is part of the data, FF a filler, D0 to D7 a restart in the data.
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff | 0xd0..=0xd7);
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(is_marker) {
        let (marker, behind) = (rest[at + 1], &rest[at + 2..]);
        let length = match marker {
            0xd9 => return true,
            // The beginning of the image, and a marker for the encoder: nothing belongs to them.
            0xd8 | 0x01 => 0,
            _ => behind.first_chunk().map_or(usize::MAX, |length| u16::from_be_bytes(*length).into()),
        };
        rest = behind.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn an_image_without_its_end_is_not_whole_whatever_its_segments_hold() {
        let image =
            [&[0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9][..], &[0xff, 0xda, 0, 2, 7, 0xff, 0, 0xff, 0xd0, 9]];
        assert!(is_whole(&[&image.concat()[..], &[0xff, 0xff, 0xd9]].concat()));
        assert!(is_whole(&[&image.concat()[..], &[0xff, 0xd9, 0, 0]].concat()));
        for end in 0..=image.concat().len() {
            assert!(!is_whole(&image.concat()[..end]), "{end}");
        }
    }
}
