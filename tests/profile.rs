//! What a device can do at most, and where the time of a run goes.

mod cases;

use nin_wgpu::device::Device;
use nin_wgpu::peak::Peak;

fn devices() -> impl Iterator<Item = Device> {
    std::iter::once(Device::Cpu).chain(cases::gpu().cloned().map(Device::Gpu))
}

#[test]
fn every_device_has_a_peak() {
    for device in devices() {
        let peak = device.peak().expect("measures");
        println!("{device}: {peak}");
        for rate in [peak.flops, peak.bytes] {
            assert!(rate.is_finite() && rate > 0.0, "{device}: {peak:?}");
        }
    }
}

#[test]
fn work_is_bound_by_what_takes_longer() {
    let peak = Peak {
        flops: 100.0,
        bytes: 10.0,
    };
    assert_eq!(peak.seconds(200, 10), 2.0);
    assert_eq!(peak.seconds(200, 30), 3.0);
}
