use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Counts;
use super::certificates::{Material, Validity, fingerprint};
use crate::config::{Faults, Tls};

/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_hours(14 * 24);

/// Keeps the certificates: those in use, and what is known of the files that they were read from.
pub(crate) struct Keeper {
    settings: Tls,
    current: RwLock<Arc<ServerConfig>>,
    /// What the files were like when they were last read, whether or not they were of use.
    seen: Mutex<u64>,
    handshakes: Semaphore,
    counts: Arc<Counts>,
}

impl Keeper {
    /// Reads the certificates; `None` if TLS is off.
    ///
    /// # Errors
    ///
    /// All that is wrong with them.
    pub(crate) fn open(settings: &Tls, counts: Arc<Counts>) -> Result<Option<Self>, Faults> {
        if !settings.enabled {
            return Ok(None);
        }
        // What changes in between is read once more.
        let seen = Mutex::new(fingerprint(settings));
        let material = Material::load(settings).map_err(Faults::of_program)?;
        warn_of_expiry(&material.validities);
        counts.expires(material.expires());
        Ok(Some(Self {
            settings: settings.clone(),
            current: RwLock::new(material.config),
            seen,
            handshakes: Semaphore::new(settings.handshake_limit),
            counts,
        }))
    }

    /// What is counted.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The configuration for a new connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read())
    }

    /// Waits until one more handshake may compute its keys.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.handshakes.acquire().await.ok()
    }

    /// Reads the files again if they have changed since they were last read, and uses what is in them from the next connection
    /// on. Connections that are open keep what they have. Returns whether there is something new. Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with the new files. Those that were read before stay in use.
    pub(crate) fn renew(&self) -> Result<bool, Faults> {
        let mut seen = self.seen.lock();
        let now = fingerprint(&self.settings);
        if std::mem::replace(&mut *seen, now) == now {
            return Ok(false);
        }
        match Material::load(&self.settings) {
            Ok(material) => {
                warn_of_expiry(&material.validities);
                self.counts.reload(true);
                self.counts.expires(material.expires());
                *self.current.write() = material.config;
                tracing::info!("new TLS certificates are in use");
                Ok(true)
            }
            Err(faults) => {
                let faults = Faults::of_program(faults);
                self.counts.reload(false);
                tracing::error!(%faults, "the TLS certificates have changed and cannot be used; the old ones stay in use");
                Err(faults)
            }
        }
    }
}

impl fmt::Debug for Keeper {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Looks at the files again and again.
pub(crate) async fn watch(keeper: Arc<Keeper>) {
    loop {
        tokio::time::sleep(keeper.settings.reload_interval).await;
        let keeper = Arc::clone(&keeper);
        // What is wrong has been logged; a look that panics is not the last one.
        let _ = tokio::task::spawn_blocking(move || keeper.renew()).await;
    }
}

/// Says which certificates clients will refuse, or will soon.
fn warn_of_expiry(validities: &[Validity]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
    for Validity { key, from, until } in validities {
        if now > *until {
            tracing::warn!(%key, "the certificate has expired: clients will refuse it; renew it");
        } else if now < *from {
            tracing::warn!(%key, "the certificate is not valid yet: clients will refuse it; check this machine's clock");
        } else if until - now < soon {
            let hours = (until - now) / 3_600;
            tracing::warn!(%key, hours, "the certificate expires soon; renew it");
        }
    }
}
