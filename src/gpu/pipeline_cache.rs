//! What the driver made of the kernels, kept in a file from run to run: `PIPELINE_CACHE`, which Vulkan offers. Drivers
//! with a cache of their own gain little by it, all others the time in which they compile.

use std::fs;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use super::{AdapterDescription, Gpu};
use crate::output;

/// The driver's cache, and the file that it was filled from and is kept in.
#[derive(Debug)]
pub(super) struct PipelineCache {
    pub(super) cache: wgpu::PipelineCache,
    path: PathBuf,
    /// Check sum of what the file holds, if it holds anything of use.
    kept: Option<u32>,
}

/// Of adapter, driver and data: a driver trusts what it is given, so nothing else may reach it.
fn check_sum(adapter: &AdapterDescription, data: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(adapter.to_string().as_bytes());
    sum.update(data);
    sum.finalize()
}

/// The data of a file, if it was written for this adapter and driver and is whole.
fn data<'f>(file: &'f [u8], adapter: &AdapterDescription) -> Option<(u32, &'f [u8])> {
    let (sum, data) = file.split_first_chunk()?;
    let sum = u32::from_le_bytes(*sum);
    (sum == check_sum(adapter, data)).then_some((sum, data))
}

impl Gpu {
    /// Keeps what the driver compiles in `nin-wgpu/pipelines` of `folder`, for instance the user's cache folder, a file for each
    /// adapter and driver, and takes from there what was compiled before. A file that is damaged or of another driver counts
    /// as none. Says whether the driver hands it out; where it does not, nothing is kept.
    pub fn set_pipeline_cache(&self, folder: impl Into<PathBuf>) -> bool {
        let features = self.device.features();
        if !features.contains(wgpu::Features::PIPELINE_CACHE) {
            return false;
        }
        let adapter = self.description();
        let name = format!("nin-wgpu/pipelines/{:08x}.bin", check_sum(adapter, &[]));
        let path = folder.into().join(name);
        let file = fs::read(&path).unwrap_or_default();
        let found = data(&file, adapter);
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("nin-wgpu"),
            data: found.map(|(_, data)| data),
            fallback: true,
        };
        #[expect(
            unsafe_code,
            reason = "what a file holds cannot be proved to be the driver's"
        )]
        // SAFETY: by its check sum the data is whole and what `get_data` returned on an adapter and driver of this name; wgpu
        // and the driver look for their own marks in it, too.
        let cache = unsafe { self.device.create_pipeline_cache(&descriptor) };
        let kept = found.map(|(sum, _)| sum);
        *self.pipeline_cache() = Some(PipelineCache { cache, path, kept });
        true
    }

    /// Writes what the driver compiled meanwhile. It can compile it again, so a folder that cannot be written is no error.
    pub(super) fn keep_pipelines(&self) {
        let mut known = self.pipeline_cache();
        let Some(PipelineCache { cache, path, kept }) = &mut *known else {
            return;
        };
        let Some(data) = cache.get_data() else {
            return;
        };
        let sum = check_sum(self.description(), &data);
        if kept.replace(sum) == Some(sum) {
            return;
        }
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        let file = [&sum.to_le_bytes(), &*data].concat();
        if folder.is_err() || output::write_whole(path, &file).is_err() {
            tracing::warn!(path = %path.display(), "compiled kernels cannot be kept");
        }
    }

    pub(super) fn pipeline_cache(&self) -> MutexGuard<'_, Option<PipelineCache>> {
        let locked = self.driver_cache.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;

    fn adapter(driver: &str) -> AdapterDescription {
        AdapterDescription {
            name: "card".into(),
            driver: driver.into(),
            backend: "vulkan".into(),
            kind: AdapterKind::Hardware,
            limits: Default::default(),
            features: Vec::new(),
        }
    }

    #[test]
    fn only_a_whole_file_of_the_same_driver_reaches_it() {
        let sum = check_sum(&adapter("1.0"), b"compiled");
        let file = [&sum.to_le_bytes(), &b"compiled"[..]].concat();
        let found = data(&file, &adapter("1.0"));
        assert_eq!(found, Some((sum, &b"compiled"[..])));
        assert_eq!(data(&file, &adapter("1.1")), None);
        for length in 0..file.len() {
            assert_eq!(data(&file[..length], &adapter("1.0")), None, "{length}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 4;
            assert_eq!(data(&damaged, &adapter("1.0")), None, "{at}");
        }
    }
}
