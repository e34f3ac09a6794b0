//! The files that tasks have made, and their folders.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use serde_json::{Value, json};

use super::reply::Reply;

/// The folder of tasks that name none, and its id.
const DEFAULT_FOLDER: (&str, &str) = ("来自:离线下载", "offline-downloads==");
const MAX_PAGE_LEN: u64 = 100;

#[derive(Default)]
pub(super) struct Files {
    /// Files and folders as the service writes them, in the order of their creation.
    files: Vec<Value>,
    /// The place of each id in `files`.
    places: HashMap<String, usize>,
    /// URLs whose bytes are those of another URL.
    pub(super) same_images: HashMap<String, String>,
    /// Number of changes so far, from which times are made.
    changes: usize,
}

impl Files {
    /// Makes a folder in the root, unless there is one with this id.
    pub(super) fn make_folder(&mut self, name: &str, id: &str) {
        if !self.places.contains_key(id) {
            self.add(json!({"fileId": id, "filename": name, "parentFileId": "", "type": 1}));
        }
    }

    /// Makes the file of a task that has succeeded, from the body of the request for it; returns
    /// its id. One with the same bytes in the same folder is overwritten.
    pub(super) fn make_file(&mut self, task: &Value) -> String {
        let url = task["url"].as_str().unwrap_or_default();
        let folder = task["businessDirID"].as_str().unwrap_or_else(|| {
            self.make_folder(DEFAULT_FOLDER.0, DEFAULT_FOLDER.1);
            DEFAULT_FOLDER.1
        });
        let name = task["fileName"].as_str();
        let name = name.map_or_else(|| default_name(url), str::to_owned);
        let content = hash(self.same_images.get(url).map_or(url, String::as_str));
        let id = format!("{:016x}==", hash((folder, content)));
        if let Some(place) = self.places.get(&id).copied() {
            self.files[place]["filename"] = name.into();
            self.files[place]["updateAt"] = self.next_time().into();
            return id;
        }
        let extension = name.rsplit('.').next().unwrap_or_default();
        self.add(json!({
            "fileId": id,
            "filename": name,
            "parentFileId": folder,
            "type": 0,
            "extension": extension,
            "etag": format!("{content:032x}"),
            "size": content % 1_000_000 + 1,
            "downloadURL": format!("https://vip.123pan.cn/1/{id}.{extension}"),
        }));
        id
    }

    fn add(&mut self, mut file: Value) {
        let id = file["fileId"].as_str().unwrap_or_default().to_owned();
        let time = self.next_time();
        file["createAt"] = time.clone().into();
        file["updateAt"] = time.into();
        file["status"] = 0.into();
        file["userSelfURL"] = "".into();
        self.places.insert(id, self.files.len());
        self.files.push(file);
    }

    /// Returns a later time than the last one, in the format of the service.
    fn next_time(&mut self) -> String {
        self.changes += 1;
        let (minutes, second) = (self.changes / 60, self.changes % 60);
        let (hour, minute) = (minutes / 60, minutes % 60);
        format!("2025-03-03 {hour:02}:{minute:02}:{second:02}")
    }

    /// Returns the `data` of a page.
    pub(super) fn list(&self, request: &Value) -> Result<Value, Reply> {
        let limit = request["limit"].as_u64().unwrap_or_default();
        if !(1..=MAX_PAGE_LEN).contains(&limit) {
            return Err(Reply::code(1, "limit is not a number from 1 to 100"));
        }
        let folder = request["parentFileId"].as_str().unwrap_or_default();
        if !folder.is_empty() {
            self.place(folder)?;
        }
        let start = match request["lastFileId"].as_str() {
            Some(last) => self.place(last)? + 1,
            None => 0,
        };
        let mut files = self.files[start..]
            .iter()
            .filter(|file| file["parentFileId"] == folder);
        let page: Vec<&Value> = files.by_ref().take(limit as usize).collect();
        let last_file_id = match (files.next(), page.last()) {
            (Some(_), Some(last)) => last["fileId"].clone(),
            _ => "-1".into(),
        };
        Ok(json!({"lastFileId": last_file_id, "fileList": page}))
    }

    /// Returns the `data` of one file or folder. The `id` has its percent-encoding.
    pub(super) fn detail(&self, id: &str) -> Result<&Value, Reply> {
        Ok(&self.files[self.place(&percent_decode(id).unwrap_or_default())?])
    }

    fn place(&self, id: &str) -> Result<usize, Reply> {
        let place = self.places.get(id).copied();
        place.ok_or_else(|| Reply::code(5066, "file not found"))
    }
}

/// Returns the last part of a URL's path, with an extension.
fn default_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = if name.contains('.') { "" } else { ".png" };
    format!("{name}{extension}")
}

/// Returns a hash that is the same in each run.
fn hash(value: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
