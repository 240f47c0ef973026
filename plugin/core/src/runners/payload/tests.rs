//! Tests of finding, comparing and uploading the program, against an apiserver that keeps what it is given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::connection::Connection;
use crate::fake::{self, Reply, Request};

const PATH: &str = "/api/v1/namespaces/kubectl-etcd/configmaps";

/// The ConfigMaps of a namespace, and how often one was read whole.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<(BTreeMap<String, Value>, usize)>>);

impl Store {
    fn put(&self, mut object: Value, by: &str) {
        let mut store = self.0.lock().unwrap();
        let number = store.0.len();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let created = format!("2026-11-21T15:{:02}:{:02}Z", number / 60, number % 60);
        let meta = &mut object["metadata"];
        meta["uid"] = json!(format!("uid-{number}-{by}"));
        meta["resourceVersion"] = json!(number.to_string());
        meta["creationTimestamp"] = json!(created);
        meta["managedFields"] = json!([{"manager": by, "operation": "Update", "time": created}]);
        store.0.insert(name, object);
    }

    fn serve(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        if request.method == "POST" {
            let object: Value = serde_json::from_slice(&request.body).unwrap();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            self.put(object, "kubectl-etcd");
            return Reply::Json(201, self.0.lock().unwrap().0[&name].to_string());
        }
        let mut store = self.0.lock().unwrap();
        if path == PATH {
            let digest = digits(&crate::carried::carried()).to_owned();
            assert!(request.path.contains(&digest), "{}", request.path);
            let metadata = store
                .0
                .values()
                .map(|object| json!({"metadata": object["metadata"]}));
            let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": {}, "items": metadata.collect::<Vec<_>>()});
            return Reply::Json(200, list.to_string());
        }
        store.1 += 1;
        let found = store.0.get(path.rsplit('/').next().unwrap());
        match found {
            Some(object) => Reply::Json(200, object.to_string()),
            None => fake::refused(404, "not found"),
        }
    }

    /// How many were read whole since this was last asked.
    fn read(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

struct Lab {
    store: Store,
    connection: Connection,
    carried: Carried,
    compared: UserCache,
    _folder: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let store = Store::default();
        let served = store.clone();
        let server = fake::serve_requests(move |request| served.serve(request)).await;
        let folder = tempfile::tempdir().unwrap();
        Self {
            compared: UserCache::at(folder.path().to_owned()),
            _folder: folder,
            store,
            connection: Connection::prepare(&fake::flags(server)).await.unwrap(),
            carried: crate::carried::carried(),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            client: &self.connection.control,
            cluster: &self.connection.cluster,
            namespace: "kubectl-etcd",
            compared: &self.compared,
        }
    }

    async fn find(&self) -> Found {
        find(self.place(), &self.carried).await.unwrap()
    }

    /// Whole parts as somebody else makes them, changed in some way.
    fn forge(&self, upload: &str, change: impl Fn(&mut ConfigMap)) {
        for mut part in config_maps(&self.carried, upload) {
            change(&mut part);
            self.store
                .put(serde_json::to_value(&part).unwrap(), "kubectl-create");
        }
    }
}

fn evil_loader(part: &mut ConfigMap) {
    if let Some(loader) = part.binary_data.as_mut().unwrap().get_mut(LOADER) {
        *loader = ByteString(b"\x7fELF evil".to_vec());
    }
}

#[tokio::test]
async fn what_was_uploaded_is_found_and_read_no_more() {
    let lab = Lab::new().await;
    assert_eq!(lab.find().await, Found::default());
    let program = upload(lab.place(), &lab.carried).await.unwrap();
    let found = lab.find().await;
    assert_eq!(found.program.as_ref(), Some(&program));
    assert_eq!(found.deviations, []);
    let checked = check(lab.place(), &lab.carried, &program).await.unwrap();
    assert_eq!(checked, []);
    assert_eq!(
        lab.store.read(),
        program.config_maps.len(),
        "by check alone: names and versions"
    );
}

#[tokio::test]
async fn a_program_that_somebody_else_made_beforehand_is_named_and_not_used() {
    let lab = Lab::new().await;
    lab.forge("0123456789abcdef", evil_loader);
    let found = lab.find().await;
    assert_eq!(found.program, None);
    let said: Vec<_> = found.deviations.iter().map(ToString::to_string).collect();
    let name = name(&lab.carried, "0123456789abcdef", 0);
    assert_eq!(
        said,
        [format!(
            "configmap/{name} does not hold what this plugin carries (written by kubectl-create at 2026-11-21T15:00:00Z)"
        )]
    );
    assert!(found.deviations[0].is_foreign());
    // An own copy is made beside it, and used from then on.
    let program = upload(lab.place(), &lab.carried).await.unwrap();
    assert_eq!(lab.find().await.program, Some(program));
}

#[tokio::test]
async fn a_part_by_another_name_takes_no_parts_place() {
    let lab = Lab::new().await;
    let program = upload(lab.place(), &lab.carried).await.unwrap();
    for ending in ["0", "+"] {
        let real = &program.config_maps[0];
        let (stem, number) = real.rsplit_once('-').unwrap();
        let mut evil = config_maps(&lab.carried, "x").remove(0);
        evil_loader(&mut evil);
        evil.metadata.name = Some(format!("{stem}-{ending}{number}"));
        lab.store
            .put(serde_json::to_value(&evil).unwrap(), "kubectl-create");
    }
    let found = lab.find().await;
    assert_eq!(found.program, Some(program));
    assert_eq!(found.deviations, []);
}

#[tokio::test]
async fn any_number_of_other_copies_neither_hides_the_right_one_nor_is_read() {
    let parts = crate::carried::carried().parts.len();
    for (before, after) in [(20, 0), (0, 20)] {
        let lab = Lab::new().await;
        let forge = |from: usize, to: usize| {
            (from..to).for_each(|one| lab.forge(&format!("{one:016x}"), evil_loader));
        };
        forge(0, before);
        let program = upload(lab.place(), &lab.carried).await.unwrap();
        forge(before, before + after);
        // To whom uploaded it.
        let found = lab.find().await;
        assert_eq!(found.program.as_ref(), Some(&program));
        assert_eq!(lab.store.read(), 0, "what is remembered comes first");
        // To somebody else.
        let folder = tempfile::tempdir().unwrap();
        let compared = UserCache::at(folder.path().to_owned());
        let place = Place {
            compared: &compared,
            ..lab.place()
        };
        let found = find(place, &lab.carried).await.unwrap();
        assert_eq!(found.program, Some(program));
        assert!(lab.store.read() <= 2 * COMPARED_AT_EACH_END * parts);
    }
}

#[tokio::test]
async fn any_byte_more_or_less_is_seen() {
    let changes: [fn(&mut ConfigMap); 5] = [
        evil_loader,
        |part| {
            let data = part.binary_data.as_mut().unwrap();
            data.values_mut().for_each(|value| value.0.push(0));
        },
        |part| {
            let data = part.binary_data.as_mut().unwrap();
            data.insert("more".to_owned(), ByteString(vec![1]));
        },
        |part| part.data = Some(BTreeMap::from([("more".to_owned(), "text".to_owned())])),
        |part| part.immutable = None,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let lab = Lab::new().await;
        lab.forge("aaaa", change);
        let found = lab.find().await;
        assert_eq!(found.program, None, "change {number}");
        assert!(!found.deviations.is_empty(), "change {number}");
    }
}

#[tokio::test]
async fn a_part_that_was_made_anew_is_read_again() {
    let lab = Lab::new().await;
    let program = upload(lab.place(), &lab.carried).await.unwrap();
    lab.store.read();
    let upload = parse_name(&program.config_maps[0], &lab.carried).unwrap().0;
    // Deleted, and created again with another loader.
    lab.forge(&upload, evil_loader);
    assert_eq!(lab.find().await.program, None);
    let deviations = check(lab.place(), &lab.carried, &program).await.unwrap();
    assert!(deviations[0].is_foreign(), "{deviations:?}");
    let said = warning("ns", &deviations).unwrap();
    let name = &deviations[0].name;
    assert!(
        said.starts_with(&format!("configmap/{name} does not hold")),
        "{said}"
    );
    assert!(
        said.contains(". What differs is not used. Somebody"),
        "{said}"
    );
    let twice = [deviations.clone(), deviations.clone()].concat();
    let said = warning("ns", &twice).unwrap();
    assert!(
        said.contains("; one more ConfigMap differs. What differs"),
        "{said}"
    );
    let remove = format!("kubectl delete configmap -n ns {name} {name}");
    assert!(said.ends_with(&remove), "{said}");
    assert_eq!(warning("ns", &[]), None);
}

#[tokio::test]
async fn a_set_that_lacks_a_part_is_not_used() {
    let lab = Lab::new().await;
    let program = upload(lab.place(), &lab.carried).await.unwrap();
    let last = program.config_maps.last().unwrap();
    lab.store.0.lock().unwrap().0.remove(last);
    assert_eq!(lab.find().await, Found::default());
    let deviations = check(lab.place(), &lab.carried, &program).await.unwrap();
    assert_eq!(
        deviations
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [format!("configmap/{last} does not exist")]
    );
    assert!(!deviations[0].is_foreign());
}

#[tokio::test]
async fn what_another_version_uploaded_cannot_be_compared() {
    let lab = Lab::new().await;
    for config_maps in [
        vec![],
        vec!["kubectl-etcd-program-0123456789ab-ffff-0".to_owned()],
        vec![name(&lab.carried, "x", 1), name(&lab.carried, "x", 0)],
        vec![name(&lab.carried, "x", 0), name(&lab.carried, "y", 1)],
    ] {
        let count = config_maps.len();
        let program = CarriedProgram { config_maps };
        let deviations = check(lab.place(), &lab.carried, &program).await.unwrap();
        assert_eq!(deviations.len(), count);
        assert!(deviations.iter().all(|one| !one.is_foreign()));
    }
}

#[test]
fn names_cannot_be_known_beforehand() {
    let carried = crate::carried::carried();
    let names: std::collections::BTreeSet<_> = (0..100)
        .flat_map(|_| preview(&carried).config_maps)
        .collect();
    assert_eq!(names.len(), 100 * carried.parts.len());
    for name in &names {
        assert!(parse_name(name, &carried).is_some(), "{name}");
        assert!(name.len() <= 63, "{name}");
    }
}

#[test]
fn each_part_fits_what_etcd_takes() {
    let carried = crate::carried::carried();
    for part in config_maps(&carried, "0123456789abcdef") {
        let bytes: usize = part
            .binary_data
            .unwrap()
            .values()
            .map(|value| value.0.len())
            .sum();
        assert!(bytes <= 1 << 20, "{bytes} bytes");
    }
}
