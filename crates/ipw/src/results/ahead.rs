//! Batches that are read on a thread of their own while those before them are made use of. At most one
//! waits; the thread then does, too, and none is lost.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::stream::{Batch, BatchReader};
use super::{Result, ResultsError};

/// What a [`BatchReader`] gives, ahead of time.
pub(super) struct ReadAhead {
    /// `None` once it has ended.
    reading: Option<(Receiver<Result<Batch>>, JoinHandle<()>)>,
}

impl ReadAhead {
    /// Begins to read.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(reader: BatchReader) -> Result<Self> {
        let path = reader.path().to_owned();
        let (send, batches) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("row reader".to_owned())
            .spawn(move || read(reader, &send))
            .map_err(ResultsError::reading(&path))?;
        Ok(Self { reading: Some((batches, thread)) })
    }

    /// Gives no batch any more.
    pub(super) fn stop(&mut self) {
        let Some((batches, thread)) = self.reading.take() else { return };
        // Without a receiver it ends at its next batch.
        drop(batches);
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

fn read(reader: BatchReader, batches: &SyncSender<Result<Batch>>) {
    for batch in reader {
        if batches.send(batch).is_err() {
            return;
        }
    }
}

impl Iterator for ReadAhead {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (batches, _) = self.reading.as_ref()?;
        let next = batches.recv().ok();
        if next.is_none() {
            self.stop();
        }
        next
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.stop();
    }
}
