//! A session: the device, the networks and the data of one page, and what its commands do with them.

use std::path::Path;
use std::rc::Rc;

use js_sys::Function;
use nin_wgpu::checkpoint::Checkpoint;
use nin_wgpu::classifier::Classifier;
use nin_wgpu::data::{Dataset, Split, idx};
use nin_wgpu::device::Device;
use serde_bytes::ByteBuf;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::classify::{classify, filters};
use crate::device;
use crate::error::{Error, Result};
use crate::examine::{self, examine};
use crate::folder::Folder;
use crate::host::Host;
use crate::protocol::{Classified, Command, Event, Filters, Picture};
use crate::training::{Control, Start, network};

/// What a worker holds for its page.
#[wasm_bindgen]
pub struct Session {
    host: Host,
    device: Option<Device>,
    /// The checkpoint that was loaded.
    loaded: Option<Seer>,
    split: Option<Rc<Split>>,
    folder: Option<Folder>,
    training: Option<Rc<Control>>,
    /// The network that is trained, for one picture and for many.
    watching: Option<Seer>,
    testing: Option<Seer>,
}

/// A network that looks at pictures.
struct Seer {
    classifier: Classifier,
    filters: Option<Filters>,
}

#[wasm_bindgen]
impl Session {
    /// A session that calls `post` with each event, and awaits `turn(milliseconds)`, a promise, where others may have their turn.
    #[wasm_bindgen(constructor)]
    pub fn new(post: Function, turn: Function) -> Self {
        let host = Host::new(post, turn);
        let told = host.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let message = panic.to_string();
            told.post(&Event::Crashed { message });
        }));
        Self {
            host,
            device: None,
            loaded: None,
            split: None,
            folder: None,
            training: None,
            watching: None,
            testing: None,
        }
    }

    /// Does a command; the next one must wait for it. What goes wrong is told as an event.
    pub async fn handle(&mut self, command: JsValue) {
        let command = match serde_wasm_bindgen::from_value(command) {
            Ok(command) => command,
            Err(error) => {
                let error = Error::Message(error.to_string());
                return self.tell_error("message", &error);
            }
        };
        let of = name(&command);
        if let Err(error) = self.obey(command).await {
            self.tell_error(of, &error);
        }
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Open { .. } => "open",
        Command::Compare => "compare",
        Command::Load { .. } => "load",
        Command::Classify { .. } => "classify",
        Command::Data { .. } => "data",
        Command::Folder { .. } | Command::Pictures { .. } | Command::FolderEnd => "folder",
        Command::Train { .. } | Command::Resume { .. } => "train",
        Command::Pause | Command::Continue | Command::Step | Command::Stop => "train",
        Command::Save => "save",
        Command::Examine => "examine",
        Command::SelfTest => "selfTest",
    }
}

impl Session {
    fn tell_error(&self, of: &'static str, error: &Error) {
        let message = error.to_string();
        self.host.post(&Event::Error { of, message });
    }

    async fn obey(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Open { cpu } => self.open(cpu).await,
            Command::Compare => self.compare().await,
            Command::Load { name, bytes } => self.load(name, &bytes).await,
            Command::Classify {
                id,
                training,
                layers,
                picture,
            } => {
                let classified = self.classify(training, layers, &picture).await?;
                self.host.post(&Event::Classified(Classified {
                    id,
                    training,
                    ..classified
                }));
                Ok(())
            }
            Command::Data {
                name,
                classes,
                files,
            } => {
                let split = split(&name, &classes, &files)?;
                self.take(split);
                Ok(())
            }
            Command::Folder {
                name,
                classes,
                image,
            } => {
                self.folder = Some(Folder::new(name, classes, image));
                Ok(())
            }
            Command::Pictures { files } => {
                let folder = self.folder.as_mut();
                let folder = folder.ok_or(Error::Order("pictures came before their folder"))?;
                files.iter().for_each(|file| folder.add(file));
                let (read, bad) = (folder.read(), folder.take_bad());
                self.host.post(&Event::FolderProgress { read, bad });
                Ok(())
            }
            Command::FolderEnd => {
                let folder = self.folder.take();
                let folder = folder.ok_or(Error::Order("a folder ended that had not begun"))?;
                self.take(folder.finish()?);
                Ok(())
            }
            Command::Train { plan } => {
                let split = self.split()?;
                let start = Start::new(&plan, &split)?;
                self.train(start, split)
            }
            Command::Resume { bytes, epochs } => {
                let split = self.split()?;
                self.train(Start::saved(&bytes, epochs, &split)?, split)
            }
            Command::Pause | Command::Step => self.control(Control::halt),
            Command::Continue => self.control(Control::go_on),
            Command::Stop => self.control(Control::stop),
            Command::Save => self.control(Control::save),
            Command::Examine => self.examine().await,
            Command::SelfTest => self.self_test(),
        }
    }

    fn device(&self) -> Result<&Device> {
        let device = self.device.as_ref();
        device.ok_or(Error::Order("no device is open yet"))
    }

    fn split(&self) -> Result<Rc<Split>> {
        let split = self.split.clone();
        split.ok_or(Error::Order("there are no data to train on yet"))
    }

    /// Opens a device anew: what lay on another is gone.
    async fn open(&mut self, cpu: bool) -> Result<()> {
        let (device, reason) = device::open(cpu, &self.host).await;
        self.host.post(&device::opened(&device, reason)?);
        self.device = Some(device);
        (self.loaded, self.watching, self.testing) = (None, None, None);
        Ok(())
    }

    async fn compare(&self) -> Result<()> {
        let device = device::seconds_of_step(self.device()?).await?;
        let cpu = device::seconds_of_step(&Device::Cpu).await?;
        self.host.post(&Event::Compared { device, cpu });
        Ok(())
    }

    async fn load(&mut self, name: String, bytes: &[u8]) -> Result<()> {
        let path = Path::new(&name);
        let trained = Checkpoint::from_bytes(path, bytes)?.trained(path)?;
        let network = network(&trained.0, &trained.1);
        let model = trained.1.preset()?;
        let device = self.device()?;
        let filters = filters(&trained.0);
        let classifier = Classifier::inspecting_async(device, path, &model, trained).await?;
        self.loaded = Some(Seer {
            classifier,
            filters,
        });
        self.host.post(&Event::Loaded { name, network });
        Ok(())
    }

    async fn classify(
        &mut self,
        training: bool,
        layers: bool,
        picture: &Picture,
    ) -> Result<Classified> {
        if training {
            self.look(None).await?;
        }
        let seer = match training {
            true => self.watching.as_mut(),
            false => self.loaded.as_mut(),
        };
        let seer = seer.ok_or(Error::Order("no network is loaded yet"))?;
        let classified = classify(&mut seer.classifier, picture, layers).await?;
        let filters = seer.filters.clone().filter(|_| layers);
        Ok(Classified {
            filters,
            ..classified
        })
    }

    /// Brings the network that is trained up to date where it is looked at: for one picture, or for a `batch`. Says its step.
    async fn look(&mut self, batch: Option<usize>) -> Result<u64> {
        let latest = self.training.as_ref().and_then(|control| control.latest());
        let (parameters, metadata) = latest.ok_or(Error::Order("nothing is trained yet"))?;
        let step = metadata.step;
        let seer = match batch {
            Some(_) => &mut self.testing,
            None => &mut self.watching,
        };
        let filters = filters(&parameters);
        if let Some(seer) = seer {
            seer.classifier.set_parameters(&parameters)?;
            seer.filters = filters;
            return Ok(step);
        }
        let device = self.device.as_ref();
        let device = device.ok_or(Error::Order("no device is open yet"))?;
        let (path, model) = (Path::new("the training"), metadata.preset()?);
        let trained = (parameters, metadata);
        let classifier = match batch {
            Some(batch) => Classifier::new_async(device, path, &model, trained, batch).await?,
            None => Classifier::inspecting_async(device, path, &model, trained).await?,
        };
        *seer = Some(Seer {
            classifier,
            filters,
        });
        Ok(step)
    }

    fn take(&mut self, split: Split) {
        self.host.post(&Event::DataReady {
            name: split.train.name().to_owned(),
            classes: split.train.classes().to_vec(),
            images: [split.train.len(), split.test.len()],
            image: split.train.outline().image,
        });
        self.split = Some(Rc::new(split));
    }

    fn train(&mut self, start: Start, split: Rc<Split>) -> Result<()> {
        if self
            .training
            .as_ref()
            .is_some_and(|control| !control.is_over())
        {
            return Err(Error::Order("a training is running already; stop it first"));
        }
        (self.watching, self.testing) = (None, None);
        let device = self.device()?.clone();
        self.training = Some(start.spawn(device, split, self.host.clone()));
        Ok(())
    }

    fn control(&self, act: impl Fn(&Control)) -> Result<()> {
        match &self.training {
            Some(control) if !control.is_over() => act(control),
            _ => return Err(Error::Order("nothing is being trained")),
        }
        Ok(())
    }

    async fn examine(&mut self) -> Result<()> {
        let split = self.split()?;
        let step = self.look(Some(examine::BATCH)).await?;
        let seer = self.testing.as_mut();
        let seer = seer.ok_or(Error::Order("nothing is trained yet"))?;
        let examined = examine(&mut seer.classifier, &split.test, step).await?;
        self.host.post(&Event::Examined(examined));
        Ok(())
    }

    /// Tests every kernel, while other commands are done.
    fn self_test(&self) -> Result<()> {
        let (device, host) = (self.device()?.clone(), self.host.clone());
        wasm_bindgen_futures::spawn_local(async move {
            let mut test = match device.self_test() {
                Ok(test) => test,
                Err(error) => {
                    let message = Error::from(error).to_string();
                    let of = "selfTest";
                    return host.post(&Event::Error { of, message });
                }
            };
            let of = test.len();
            let mut done = 0;
            while let Some(check) = test.next_async().await {
                done += 1;
                host.post(&Event::Checked {
                    done,
                    of,
                    text: check.to_string(),
                    right: check.outcome.is_right(),
                });
                host.turn(std::time::Duration::ZERO).await;
            }
        });
        Ok(())
    }
}

/// Data of idx files.
fn split(name: &str, classes: &[String], files: &[ByteBuf; 4]) -> Result<Split> {
    let part = |images: usize, what: &str| -> Result<Dataset> {
        let path = |kind: &str| format!("{name}, {what} {kind}");
        let [images, labels] = [images, images + 1].map(|file| &files[file][..]);
        let images = idx::read_from(Path::new(&path("images")), 3, images)?;
        let labels = idx::read_from(Path::new(&path("labels")), 1, labels)?.values;
        let labels = labels.into_iter().map(u16::from).collect();
        let shape = [1, images.dims[1], images.dims[2]];
        Ok(Dataset::new(
            name,
            images.values,
            labels,
            shape,
            classes.to_vec(),
        )?)
    };
    Ok(Split::new(part(0, "training")?, part(2, "test")?))
}
