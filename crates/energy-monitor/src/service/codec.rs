//! Readings go out as the bytes into which they were encoded once.

use bytes::{BufMut, Bytes};
use energy_proto::pb;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// Decodes requests as usual; passes on encoded readings as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadingCodec;

impl Codec for ReadingCodec {
    type Encode = Bytes;
    type Decode = pb::StreamRequest;
    type Encoder = Verbatim;
    type Decoder = ProstDecoder<pb::StreamRequest>;

    fn encoder(&mut self) -> Verbatim {
        Verbatim
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<(), pb::StreamRequest>::default().decoder()
    }
}

/// Encodes what is encoded already.
#[derive(Debug, Clone, Copy)]
pub struct Verbatim;

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn buffer_settings(&self) -> BufferSettings {
        // Each subscriber has such a buffer: as large as a reading of a large host.
        BufferSettings::new(2 << 10, 32 << 10)
    }

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}
