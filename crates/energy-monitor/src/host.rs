//! What this host is: operating system and processor. A figure that can't be found is empty or 0,
//! as on the wire.

use std::fs;
use std::path::Path;

use energy_proto::SystemInfo;
use nix::sys::utsname;

/// Describes this host.
#[must_use]
pub fn system_info(proc_root: &Path) -> SystemInfo {
    let uname = utsname::uname().ok();
    let text = |field: Option<&std::ffi::OsStr>| {
        field.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let kernel = text(uname.as_ref().map(|uname| uname.sysname()));
    SystemInfo {
        os_name: release_field(&release, "NAME").unwrap_or(kernel),
        os_version: release_field(&release, "VERSION_ID").unwrap_or_default(),
        kernel_version: text(uname.as_ref().map(|uname| uname.release())),
        host_name: text(uname.as_ref().map(|uname| uname.nodename())),
        cpu_count: std::thread::available_parallelism()
            .ok()
            .and_then(|count| u32::try_from(count.get()).ok())
            .unwrap_or(0),
        cpu_brand: fs::read_to_string(proc_root.join("cpuinfo"))
            .ok()
            .and_then(|cpuinfo| cpu_brand(&cpuinfo))
            .unwrap_or_default(),
    }
}

/// A field of `os-release`, `NAME="Debian GNU/Linux"`.
fn release_field(release: &str, name: &str) -> Option<String> {
    release
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

fn cpu_brand(cpuinfo: &str) -> Option<String> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name")
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_gives_its_name_without_quotes() {
        let release = "PRETTY_NAME=\"X\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=12\n";
        assert_eq!(release_field(release, "NAME").as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(release_field(release, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(release_field(release, "HOME"), None);
    }

    #[test]
    fn the_processor_is_the_first_model_name() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(cpu_brand(cpuinfo).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(cpu_brand(""), None);
    }
}
