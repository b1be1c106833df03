"""Who may call what, with which arguments: policy files in, decisions out. The one door to Casbin.

files      bytes on disk to text and tables, strictly
rules      one rule: what it names, and how names are matched
where      conditions on arguments, compiled: when they hold (vocabulary: what they may say)
extras     what else a rule may say: bind, shadow, gate, limit, budget
page       one TOML file to its rules (casbin_csv: one in Casbin's own format)
narrow     a tool's input schema as one agent may see it
enforcer   Casbin: the model decisions rely on, and one enforcer per agent
index      which rules can match an object
grant      what one agent may do, compiled, and its decisions
policy     the policy of all agents: what the gateway works with
loader     a folder of files to one Policy, or every problem in it
names      the names in rules against what servers offer

For those who look at a policy, and never on the path of a call:

verdict    what becomes of a request: allow, deny or gate
trials     tables of tests
explain    why a request is decided as it is
objects    the objects that rules tell apart
matrix     agents against tools
differences  every decision that changes between two policies (samples, pattern: arguments that show it)
replay     recorded calls, decided by another policy
export     for Casbin's own tools
lint       what goes wrong in practice (contradiction, idle: how it is found; gated: with gates and budgets)
"""

from gateway.policy.grant import Decision
from gateway.policy.loader import agents_in, load
from gateway.policy.names import check_names
from gateway.policy.policy import Policy
from gateway.policy.rules import Action, Rule

__all__ = ["Action", "Decision", "Policy", "Rule", "agents_in", "check_names", "load"]
