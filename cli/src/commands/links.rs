//! `links`: the new link of each image that has arrived.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufWriter, Write};

use pan123_offline::{Client, ErrorCode};

use super::migrate::claim;
use super::{client, counted, warn_of_cache};
use crate::args::{Common, Links};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, explain};
use crate::image::{Image, State};
use crate::links::{Matches, safe_link};
use crate::list::printable;
use crate::records;
use crate::settings::ResolvedSettings;
use crate::store::{Store, StoreError, state_path};

/// The folder of tasks that name none. The service makes it.
const DEFAULT_FOLDER: &str = "来自:离线下载";
/// The images of a page, which are written in one transaction.
const PAGE_LEN: usize = 100;
/// Maximum number of retries of a request.
const MAX_RETRIES: u32 = 5;

const NO_NAME: &str = "it was sent without a name, since its URL does not tell the kind of image, \
    so its file cannot be told from others";

/// The state, and what is known besides.
struct Search {
    store: Store,
    /// Ids of the files that serve an image.
    owned: HashSet<String>,
    /// Why an image has no link, by its row in the state.
    reasons: HashMap<i64, String>,
}

/// Looks for the links that are not known, and prints all that are.
pub(super) fn links(common: &Common, args: &Links) -> Result<ExitStatus, Failure> {
    let path = state_path(&args.state.list, args.state.state.as_deref());
    let store = Store::open(&path)?;
    let mut folders: BTreeMap<_, Vec<Image>> = BTreeMap::new();
    let (mut owned, mut reasons) = (HashSet::new(), HashMap::new());
    store.for_each(&[State::Succeeded], |image| {
        if image.link.is_some() && !args.refresh {
            owned.extend(image.file_id);
        } else if image.file_name.is_none() {
            reasons.insert(image.id, NO_NAME.to_owned());
        } else {
            let folder = image.directory.clone();
            folders.entry(folder).or_default().push(image);
        }
        Ok::<_, StoreError>(())
    })?;
    let mut search = Search {
        store,
        owned,
        reasons,
    };
    let mut status = ExitStatus::Succeeded;
    if !folders.is_empty() {
        let settings = ResolvedSettings::resolve(common)?;
        claim(&search.store, &settings, &path)?;
        let (client, _) = client(common, &settings, MAX_RETRIES)?;
        for (folder, images) in &folders {
            let folder = folder.as_deref();
            match search.look_up(&client, folder, images) {
                Err(Failure::Service(error)) => {
                    let name = printable(folder.unwrap_or(DEFAULT_FOLDER));
                    eprint_line(&format!("the folder {name}: {}", explain(&error)));
                    status = status.max(ExitStatus::of(&error));
                    // After another error no folder would be found.
                    let (code, unknown) = (error.code(), ErrorCode::FILE_NOT_FOUND);
                    if code != Some(ErrorCode::INTERNAL) && code != Some(unknown) {
                        break;
                    }
                }
                result => result?,
            }
        }
        warn_of_cache(&client);
    }
    Ok(status.max(search.print(common)?))
}

impl Search {
    /// Lists a folder, and enters the files of these images into the state.
    fn look_up(
        &mut self,
        client: &Client,
        folder: Option<&str>,
        images: &[Image],
    ) -> Result<(), Failure> {
        let id = match folder {
            Some(id) => Some(id.to_owned()),
            None => client
                .images("")
                .find(|file| {
                    let is_other = |file: &pan123_offline::Image| {
                        !file.is_directory || file.name != DEFAULT_FOLDER
                    };
                    !file.as_ref().is_ok_and(is_other)
                })
                .transpose()?
                .map(|file| file.file_id),
        };
        let names = images.iter().map(|image| (&*image.key, sent_name(image)));
        let mut matches = Matches::new(names, &mut self.owned);
        let mut files = id.as_deref().map(|id| client.images(id).peekable());
        while files.as_mut().is_some_and(|files| files.peek().is_some()) {
            let mut found = Vec::new();
            for file in files.iter_mut().flatten().take(PAGE_LEN) {
                let file = file?;
                let time = file.created_at.as_str().max(&file.updated_at);
                if file.is_directory {
                    continue;
                }
                let Some(place) = matches.take(&file.file_id, &file.name, time) else {
                    continue;
                };
                let image = &images[place];
                let link = safe_link(file.link()).filter(|_| !file.is_rejected());
                let reason = match (file.is_rejected(), &link) {
                    (true, _) => Some("the service's moderation has rejected it"),
                    (_, None) => Some("its link is no http or https URL without a password"),
                    _ => None,
                };
                self.reasons.remove(&image.id);
                self.reasons
                    .extend(reason.map(|reason| (image.id, reason.to_owned())));
                found.push(Image {
                    link,
                    size: i64::try_from(file.size).ok(),
                    moderation: Some(file.status),
                    file_id: Some(file.file_id),
                    ..image.clone()
                });
            }
            self.store.set_files(&found)?;
        }
        let folder = printable(folder.unwrap_or(DEFAULT_FOLDER));
        let missing = images.iter().enumerate();
        let mut gone = Vec::new();
        for (_, image) in missing.filter(|(place, _)| !matches.has_file(*place)) {
            let name = printable(sent_name(image));
            let reason = match &id {
                Some(_) => format!(
                    "no file {name} is in the folder {folder}: an image with the same bytes may \
                     have taken its place, or it was renamed, moved or deleted"
                ),
                None => format!("there is no folder {folder}"),
            };
            self.reasons.insert(image.id, reason);
            gone.push(Image {
                file_id: None,
                link: None,
                size: None,
                moderation: None,
                ..image.clone()
            });
        }
        Ok(self.store.set_files(&gone)?)
    }

    /// Prints the known links in the order of the list, and why others are missing.
    fn print(&self, common: &Common) -> Result<ExitStatus, Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let (mut known, mut missing) = (0, 0);
        self.store.for_each(&[State::Succeeded], |image| {
            let url = printable(&image.given);
            let Some(link) = &image.link else {
                missing += 1;
                if let Some(reason) = self.reasons.get(&image.id) {
                    eprint_line(&format!("{url}: {reason}"));
                }
                return Ok(());
            };
            known += 1;
            let line = match common.json {
                true => records::link_json(&image),
                false => format!("{url}\t{link}\n"),
            };
            out.write_all(line.as_bytes()).map_err(Failure::from)
        })?;
        out.flush()?;
        if !common.quiet {
            let mut counts = self.store.counts();
            counts.succeeded = 0;
            let mut summary = counted(known, "link");
            if missing > 0 {
                summary += &format!("; {} without one", counted(missing, "image"));
            }
            if counts.total() > 0 {
                summary += &format!("; not arrived: {}", counts.text());
            }
            eprint_line(&summary);
        }
        Ok(match missing {
            0 => ExitStatus::Succeeded,
            _ => ExitStatus::TaskFailed,
        })
    }
}

fn sent_name(image: &Image) -> &str {
    image.file_name.as_deref().unwrap_or_default()
}
