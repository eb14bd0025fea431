//! Which device: the one place that knows what this build has.

use candle_core::{Device as Tensors, Result};
use domain::FieldError;
use engine::Device;

/// The setting that says which.
const FIELD: &str = "model.device";

/// Whether this build can compute there; whether the machine has such a device is known when a model is loaded.
pub(super) fn check(device: Device) -> std::result::Result<(), FieldError> {
    let (built, allowed) = match device {
        Device::Cpu => (true, ""),
        Device::Cuda => (
            cfg!(feature = "cuda"),
            "cpu, for this build has no cuda; one made with `--features cuda` has",
        ),
        Device::Metal => (
            cfg!(feature = "metal"),
            "cpu, for this build has no metal; one made with `--features metal` has",
        ),
    };
    if built {
        Ok(())
    } else {
        Err(FieldError::new(FIELD, device, allowed))
    }
}

/// The first device of that kind.
pub(super) fn open(device: Device) -> Result<Tensors> {
    match device {
        Device::Cpu => Ok(Tensors::Cpu),
        Device::Cuda => Tensors::new_cuda(0),
        Device::Metal => Tensors::new_metal(0),
    }
}

/// What cannot be had, and the way out, where the machine has no such device.
pub(super) fn absent(device: Device, why: &str) -> (String, String) {
    (
        format!("{FIELD} = \"{device}\" on this machine"),
        format!("{why}; {FIELD} = \"cpu\" is"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_build_has_not_got_is_refused_by_field_with_the_way_out() {
        for device in Device::ALL {
            let built = match device {
                Device::Cpu => true,
                Device::Cuda => cfg!(feature = "cuda"),
                Device::Metal => cfg!(feature = "metal"),
            };
            let refused = check(device).err();
            assert_eq!(refused.is_none(), built, "{device}");
            if let Some(refused) = refused {
                assert_eq!(refused.field, "model.device");
                assert_eq!(refused.value, device.as_str());
                let way_out = format!("--features {device}");
                assert!(refused.allowed.contains(&way_out), "{refused:?}");
                assert!(open(device).is_err(), "candle has {device} all the same");
            }
        }
    }
}
