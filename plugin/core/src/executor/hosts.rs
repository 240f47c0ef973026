//! The hosts of a plan.

use std::path::PathBuf;

use etcd_operations::advice;
use etcd_operations::advice::{Choice, Command, Task};
use etcd_operations::look::LookOptions;
use etcd_operations::plan::Plan;
use etcd_operations::plan::PlanId;
use etcd_operations::plan::make::HostView;
use etcd_operations::wire::ask::{BeginPlan, EndPlan};
use futures::future::join_all;

use crate::error::Error;
use crate::runners::host::Host;
use crate::ssh::SshTargets;

/// The hosts of the plan, in the order in which they are told.
pub struct Hosts {
    hosts: Vec<Host>,
    /// The flags that reach them again.
    flags: Command,
}

impl Hosts {
    /// This host alone.
    pub fn here(host: Host) -> Self {
        Self {
            hosts: vec![host],
            flags: Command::default(),
        }
    }

    /// These, some of them over ssh.
    pub fn reached(hosts: Vec<Host>, ssh: &SshTargets) -> Self {
        Self {
            hosts,
            flags: ssh.flags.clone(),
        }
    }

    /// Names files, by their whole paths, from which components are started that have no manifest in kubelet's folder.
    pub fn naming(&mut self, manifests: &[PathBuf]) {
        for host in &mut self.hosts {
            host.naming(manifests.to_vec());
        }
    }

    /// What follows a command that is to be typed for them: the flags that reach them.
    pub fn flags(&self) -> &Command {
        &self.flags
    }

    /// The command that resumes a plan on these hosts.
    pub fn resume(&self, id: &PlanId) -> Command {
        Task::ResumePlan.of(id).as_in(&self.flags)
    }

    /// The command that rolls a plan back on these hosts.
    pub fn undo(&self, id: &PlanId) -> Command {
        Task::UndoPlan.of(id).as_in(&self.flags)
    }

    /// One more.
    pub fn push(&mut self, host: Host) {
        self.hosts.push(host);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter()
    }

    /// The host of a node.
    ///
    /// # Errors
    /// When it does not take part.
    pub fn of(&self, node: &str) -> Result<&Host, Error> {
        self.hosts
            .iter()
            .find(|host| host.node() == node)
            .ok_or_else(|| {
                Error::refused(format!(
                    "{node} is a host of the plan and cannot be reached"
                ))
                .hint(advice!["run it on that host, or with ", Choice::Ssh])
            })
    }

    /// Looks at all of them at once. The first that cannot be looked at is the error.
    pub async fn look(&self, options: LookOptions) -> Result<Vec<HostView>, Error> {
        let looks = self.hosts.iter().map(async |host| {
            Ok(HostView {
                look: host.look(options.clone()).await?,
                host: host.host.clone(),
            })
        });
        join_all(looks).await.into_iter().collect()
    }

    /// Begins a plan on all of its hosts, in their order: two who begin at once meet on the first.
    pub async fn begin(&self, plan: &Plan) -> Result<(), Error> {
        let request = BeginPlan {
            plan: Box::new(plan.clone()),
        };
        let all = plan.hosts.iter().map(|host| self.of(&host.node));
        let all = all.collect::<Result<Vec<&Host>, Error>>()?;
        let mut begun: Vec<&Host> = Vec::new();
        for host in all {
            if let Err(error) = host.ask(&request).await {
                // Nothing was done anywhere; the others are free again.
                for host in begun {
                    let plan = plan.id.clone();
                    host.ask(&EndPlan { plan }).await.ok();
                }
                return Err(error);
            }
            begun.push(host);
        }
        Ok(())
    }

    /// Begins a plan again that was begun, but on these hosts. Where one fails, the others keep it as begun.
    pub async fn begin_again(&self, plan: &Plan, without: &[String]) -> Result<(), Error> {
        let request = BeginPlan {
            plan: Box::new(plan.clone()),
        };
        for host in plan.without(without).hosts {
            self.of(&host.node)?.ask(&request).await?;
        }
        Ok(())
    }

    /// The plan has ended on all of its hosts.
    pub async fn end(&self, plan: &Plan) -> Result<(), Error> {
        for host in &plan.hosts {
            let request = EndPlan {
                plan: plan.id.clone(),
            };
            self.of(&host.node)?.ask(&request).await?;
        }
        Ok(())
    }
}
