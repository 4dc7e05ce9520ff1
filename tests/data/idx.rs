//! IDX files, plain and as gzip.

use std::error::Error;

use nin_wgpu::data::{DataError, idx};

use crate::{assert_says, file, gzip, idx_bytes};

#[test]
fn idx_reads_plain_and_gzip_alike() {
    let bytes = idx_bytes(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    for (name, bytes) in [("plain", bytes.clone()), ("packed", gzip(&bytes))] {
        let (_dir, path) = file(name, &bytes);
        let read = idx::read(&path, 3).unwrap();
        assert_eq!(read.dims, [2, 1, 3]);
        assert_eq!(read.values, [1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn truncated_idx_file_names_expected_and_found_length() {
    let bytes = idx_bytes(&[2, 2, 2], &[0; 8]);
    for (keep, got, want) in [
        (20, "20 bytes", "24 by"),
        (10, "10 bytes", "16 by"),
        (0, "0 bytes", "16 by"),
    ] {
        let (_dir, path) = file("images", &bytes[..keep]);
        let error = idx::read(&path, 3).unwrap_err();
        assert!(matches!(error, DataError::Truncated { .. }), "{error:?}");
        assert_says(&error, &[path.to_str().unwrap(), got, want]);
    }
}

#[test]
fn idx_file_that_goes_on_after_its_last_value_is_refused() {
    let (_dir, path) = file("labels", &idx_bytes(&[3], &[0; 4]));
    let error = idx::read(&path, 1).unwrap_err();
    assert!(
        matches!(error, DataError::TrailingBytes { want: 11, .. }),
        "{error:?}"
    );
    assert_says(&error, &[path.to_str().unwrap(), "11 bytes"]);
}

#[test]
fn wrong_idx_magic_names_expected_and_found_number() {
    let (_dir, path) = file("images", &idx_bytes(&[3], &[0; 3]));
    let error = idx::read(&path, 3).unwrap_err();
    assert_says(
        &error,
        &[path.to_str().unwrap(), "0x00000801", "0x00000803"],
    );

    let (_dir, path) = file("page", b"<html>not here</html>");
    let error = idx::read(&path, 1).unwrap_err();
    assert!(matches!(error, DataError::Magic { .. }), "{error:?}");
}

#[test]
fn idx_header_with_impossible_dimensions_is_refused_without_taking_memory() {
    let (_dir, path) = file("images", &idx_bytes(&[u32::MAX; 3], &[]));
    let error = idx::read(&path, 3).unwrap_err();
    assert_says(&error, &[path.to_str().unwrap(), "4294967295"]);
}

/// 10 GB of pictures would be some MB of gzip, and so of a zip archive's member; a header that says so ends it.
#[test]
fn what_would_unpack_to_more_than_memory_is_refused_by_its_header() {
    let bytes = idx_bytes(&[10_000, 1000, 1000], &[0; 1 << 20]);
    let (_dir, path) = file("bomb", &gzip(&bytes));
    for error in [
        idx::read(&path, 3).unwrap_err(),
        idx::read_from(&path, 3, bytes.as_slice()).unwrap_err(),
    ] {
        assert!(matches!(error, DataError::TooLong { .. }), "{error:?}");
        assert_says(&error, &["bomb", "10000000000 bytes", "1073741824 at most"]);
    }
}

#[test]
fn damaged_gzip_names_the_file_and_has_a_cause() {
    let mut bytes = gzip(&idx_bytes(&[1000], &[7; 1000]));
    let cut = bytes[..bytes.len() - 6].to_vec();
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    for bytes in [cut, bytes] {
        let (_dir, path) = file("labels.gz", &bytes);
        let error = idx::read(&path, 1).unwrap_err();
        assert!(matches!(error, DataError::Gzip { .. }), "{error:?}");
        assert_says(&error, &[path.to_str().unwrap()]);
        assert!(error.source().is_some());
    }
}
