//! Execution providers of ONNX Runtime: what inside it computes. In order of preference, as the configuration names them; what
//! this machine's library lacks or cannot start is skipped with a notice.
//!
//! Whatever a provider cannot compute of a model, the processor does, within the same session.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The processor, as ONNX Runtime itself does it; always there.
    Cpu,
    /// The processor, by kernels made for small Arm boards.
    Xnnpack,
    /// The processor, by the Arm Compute Library.
    Acl,
    Cuda,
    TensorRt,
    OpenVino,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no execution provider; write {list}", list = Provider::ALL.map(Provider::word).join(", "))]
pub struct UnknownProvider(String);

impl Provider {
    pub const ALL: [Self; 6] = [Self::Cpu, Self::Xnnpack, Self::Acl, Self::Cuda, Self::TensorRt, Self::OpenVino];

    /// As configurations and commands write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Xnnpack => "xnnpack",
            Self::Acl => "acl",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// What runs a model, as people read it.
    #[must_use]
    pub fn backend_name(self) -> &'static str {
        match self {
            Self::Cpu => "ort",
            Self::Xnnpack => "ort+xnnpack",
            Self::Acl => "ort+acl",
            Self::Cuda => "ort+cuda",
            Self::TensorRt => "ort+tensorrt",
            Self::OpenVino => "ort+openvino",
        }
    }

    /// With commas between, as a child process gets them.
    #[must_use]
    pub fn list(providers: &[Self]) -> String {
        providers.iter().map(|provider| provider.word()).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|provider| provider.word() == text).ok_or_else(|| UnknownProvider(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_and_others_are_answered_with_the_list() {
        for provider in Provider::ALL {
            assert_eq!(provider.word().parse(), Ok(provider));
        }
        let error = "gpu".parse::<Provider>().unwrap_err().to_string();
        assert!(error.contains("cpu, xnnpack, acl, cuda, tensorrt, openvino"), "{error}");
    }
}
