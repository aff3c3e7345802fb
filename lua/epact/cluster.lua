--- Which process of the job this is, from the environment.
--
-- Asked in this order: EPACT_RANK and EPACT_SIZE (with EPACT_ROOT, the address of rank 0), a Kubernetes indexed job
-- (JOB_COMPLETION_INDEX, with EPACT_SIZE and EPACT_ROOT), Open MPI, PMI (MPICH, Intel MPI), PMIx (which tells no size:
-- Slurm's or Open MPI's is taken), and a Slurm step. Slurm comes last: the variables of a batch script leak into every
-- rank of an `mpirun` inside it. EPACT_ROOT may be left out where all ranks are on this machine, and in a Slurm step:
-- there rank 0 is on the first host of the step, and listens on a port from 20000 to 29999 that follows from the
-- numbers of the job and the step.
-- EPACT_KEYS, EPACT_INSECURE and EPACT_ADDRESS are the options `keys`, `insecure` and `address` of `epact.run`.
-- @module epact.cluster

local ffi = require "ffi"
local core = require "epact.core"
local hosts = require "epact.hosts"

local cluster = {}

local function number(getenv, name)
  local text = name and getenv(name)
  if text == nil or text == "" then return nil end
  local value = tonumber(text)
  if not value or value % 1 ~= 0 or value < 0 then
    core.fail("%s must be an integer >= 0, got %q", name, text)
  end
  return value
end

-- Slurm tells no process where rank 0 is, but on which hosts the step runs, in the order of their ranks.
local function slurm_root(getenv)
  if getenv "SLURM_DISTRIBUTION" == "arbitrary" then return nil end -- then not in that order
  local list = getenv "SLURM_STEP_NODELIST" or getenv "SLURM_JOB_NODELIST"
  local job, step = number(getenv, "SLURM_JOB_ID"), number(getenv, "SLURM_STEP_ID")
  local first = list and hosts.expand(list)[1]
  if not first or not job then return nil end
  return ("tcp://%s:%d"):format(first, 20000 + (job * 7 + (step or 0)) % 10000)
end

local slurm_size, slurm_here, slurm_job = "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE",
  { "SLURM_JOB_ID", "SLURM_STEP_ID" }

-- PMIx tells no size: that of who has started it.
local function pmix_size(getenv)
  return (getenv "PMIX_NAMESPACE" or ""):find "^slurm" and slurm_size or "OMPI_COMM_WORLD_SIZE"
end

-- `here`: the variable with the number of ranks on this machine; `job`: those that name the job; `root`: the address
-- of rank 0 from the environment; `advice`: how to give it where there is none.
local launchers = {
  { name = "EPACT_RANK", rank = "EPACT_RANK", size = "EPACT_SIZE", job = {} },
  { name = "JOB_COMPLETION_INDEX", rank = "JOB_COMPLETION_INDEX", size = "EPACT_SIZE", job = {},
    advice = ": set it to the name that the headless service gives to pod 0, as tcp://train-0.train:5555" },
  { name = "Open MPI", rank = "OMPI_COMM_WORLD_RANK", size = "OMPI_COMM_WORLD_SIZE",
    here = "OMPI_COMM_WORLD_LOCAL_SIZE", job = { "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid" },
    advice = ": mpirun does not tell on which host rank 0 is; use mpirun -x EPACT_ROOT=tcp://HOST:PORT" },
  { name = "PMI", rank = "PMI_RANK", size = "PMI_SIZE", here = "MPI_LOCALNRANKS", job = { "PMI_ID", "PMI_FD" } },
  { name = "PMIx", rank = "PMIX_RANK", size = pmix_size, here = slurm_here, job = slurm_job,
    root = function(getenv) return pmix_size(getenv) == slurm_size and slurm_root(getenv) or nil end },
  { name = "Slurm", rank = "SLURM_PROCID", size = slurm_size, here = slurm_here, job = slurm_job, root = slurm_root },
}

--- The folder for sockets of this user's jobs, which others cannot look into.
function cluster.folder(getenv)
  local path = ffi.new("char[?]", 4096)
  core.check(core.C.epact_private_folder((getenv or os.getenv) "TMPDIR" or "/tmp", path, 4096))
  return ffi.string(path)
end

-- An address that only ranks of this job on this machine know, when all of them are here.
local function local_root(getenv, launcher, size)
  local here = launcher.here and tonumber((getenv(launcher.here) or ""):match "^%d+$")
  if here ~= size then return nil end
  local names = {}
  for _, name in ipairs(launcher.job) do names[#names + 1] = getenv(name) end
  if #names == 0 then return nil end
  local id = table.concat(names, "."):gsub("[^%w.-]", "_")
  return ("ipc://%s/%s"):format(cluster.folder(getenv), id)
end

local function word(getenv, name)
  local text = getenv(name)
  return text ~= "" and text or nil
end

local switch = { ["1"] = true, ["0"] = false }

local function flag(getenv, name)
  local text = word(getenv, name)
  if text == nil then return nil end
  if switch[text] == nil then core.fail("%s must be 1 or 0, got %q", name, text) end
  return switch[text]
end

-- host:port means tcp.
local function with_transport(root)
  return root:find "://" and root or "tcp://" .. root
end

-- A place with the address of rank 0 and how to reach it.
local function reached(getenv, place, root)
  place.root, place.keys = with_transport(root), word(getenv, "EPACT_KEYS")
  place.insecure, place.address = flag(getenv, "EPACT_INSECURE"), word(getenv, "EPACT_ADDRESS")
  return place
end

-- A job of one process needs an address only if others may join it.
local function alone(getenv)
  local root = word(getenv, "EPACT_ROOT")
  return root and reached(getenv, { rank = 0, size = 1 }, root) or { rank = 0, size = 1 }
end

--- Inside a worker a job is of this process alone: the other processes are busy with the job around it.
-- @tparam[opt=os.getenv] function getenv
-- @treturn table `rank`, `size`, `root` (endpoint of rank 0; nil when size is 1), and where they are set `keys`,
-- `insecure`, `address`
function cluster.place(getenv)
  getenv = getenv or os.getenv
  if package.loaded["epact.thread"] then return { rank = 0, size = 1 } end
  if flag(getenv, "EPACT_JOIN") then
    local root = word(getenv, "EPACT_ROOT")
    if not root then core.fail "EPACT_JOIN needs EPACT_ROOT, the address of the running job's rank 0" end
    return reached(getenv, { rank = 0, size = 1, join = true }, root)
  end
  for _, launcher in ipairs(launchers) do
    local size_name = type(launcher.size) == "function" and launcher.size(getenv) or launcher.size
    local rank, size = number(getenv, launcher.rank), number(getenv, size_name)
    if rank and size then
      if rank >= size then core.fail("%s is %d but %s is %d", launcher.rank, rank, size_name, size) end
      if size <= 1 then return alone(getenv) end
      local root = word(getenv, "EPACT_ROOT") or local_root(getenv, launcher, size) or
        (launcher.root and launcher.root(getenv))
      if not root then
        core.fail("%s says %d processes but EPACT_ROOT (the address of rank 0, as node7:5555) is not set%s",
          launcher.size == "EPACT_SIZE" and "EPACT_SIZE" or launcher.name, size, launcher.advice or "")
      end
      return reached(getenv, { rank = rank, size = size }, root)
    end
  end
  local size = number(getenv, "EPACT_SIZE")
  if size and size > 1 then core.fail("EPACT_SIZE is %d but EPACT_RANK is not set", size) end
  local rank = number(getenv, "PMIX_RANK")
  if rank then
    core.fail("PMIX_RANK is %d but nothing says of how many: set EPACT_RANK and EPACT_SIZE, or unset PMIX_RANK", rank)
  end
  return alone(getenv)
end

--- The workers of a process whose script does not say how many: EPACT_WORKERS, or one a core.
-- @tparam[opt=os.getenv] function getenv
-- @treturn number
function cluster.workers(getenv)
  local workers = number(getenv or os.getenv, "EPACT_WORKERS")
  if workers == 0 then core.fail "EPACT_WORKERS must be an integer >= 1, got 0" end
  return workers or core.C.epact_cores()
end

--- How often the launcher has started this job again: EPACT_RESTART.
-- @tparam[opt=os.getenv] function getenv
-- @treturn number
function cluster.restart(getenv)
  return number(getenv or os.getenv, "EPACT_RESTART") or 0
end

return cluster
