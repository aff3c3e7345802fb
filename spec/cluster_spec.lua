--- Rank, size and root from the environment.
local cluster = require "epact.cluster"

local function place(environment)
  return cluster.place(function(name) return environment[name] end)
end

describe("the place of a process", function()
  it("is alone without a launcher, and in a job of one", function()
    assert.same({ rank = 0, size = 1 }, place {})
    assert.same({ rank = 0, size = 1 }, place { EPACT_RANK = "0", EPACT_SIZE = "1" })
    assert.same({ rank = 0, size = 1 }, place { OMPI_COMM_WORLD_RANK = "0", OMPI_COMM_WORLD_SIZE = "1" })
  end)

  it("comes from the own variables first, and from Slurm last", function()
    local all = { EPACT_RANK = "1", EPACT_SIZE = "4", EPACT_ROOT = "tcp://127.0.0.1:5", OMPI_COMM_WORLD_RANK = "2",
      OMPI_COMM_WORLD_SIZE = "5", OMPI_COMM_WORLD_LOCAL_SIZE = "5", PMIX_NAMESPACE = "a/b:1", PMI_RANK = "3",
      PMI_SIZE = "6", SLURM_PROCID = "0", SLURM_STEP_NUM_TASKS = "7" }
    assert.same({ rank = 1, size = 4, root = "tcp://127.0.0.1:5" }, place(all))
    all.EPACT_RANK, all.EPACT_SIZE = nil, nil
    assert.same({ rank = 2, size = 5, root = "tcp://127.0.0.1:5" }, place(all))
    all.OMPI_COMM_WORLD_RANK = nil
    assert.same({ rank = 3, size = 6, root = "tcp://127.0.0.1:5" }, place(all))
    all.PMI_RANK = nil
    assert.same({ rank = 0, size = 7, root = "tcp://127.0.0.1:5" }, place(all))
  end)

  it("needs no root where all ranks are on this machine: one per job", function()
    local one = place { OMPI_COMM_WORLD_RANK = "2", OMPI_COMM_WORLD_SIZE = "5", OMPI_COMM_WORLD_LOCAL_SIZE = "5",
      PMIX_NAMESPACE = "a/b:1" }
    assert.matches("^ipc:///tmp/epact%-%d+/a_b_1$", one.root)
    local step = { SLURM_PROCID = "1", SLURM_STEP_NUM_TASKS = "2", SLURM_STEP_TASKS_PER_NODE = "2", SLURM_JOB_ID = "77",
      SLURM_STEP_ID = "3", TMPDIR = os.tmpname() }
    os.remove(step.TMPDIR)
    assert(os.execute("mkdir " .. step.TMPDIR) == 0)
    local root = place(step).root
    local folder = root:match "^ipc://(.*/epact%-%d+)/77%.3$"
    assert.equal(step.TMPDIR, folder:match "^(.*)/")
    assert(os.execute("chmod 755 " .. folder) == 0)
    assert.has_error(function() place(step) end, folder .. " must be a folder of this user that is closed to others "
      .. "(mode 0700) [E_AUTH]")
    os.execute("rm -r " .. step.TMPDIR)
  end)

  it("finds the root of a Slurm step on several machines: its first host, and a port from the numbers", function()
    local step = { SLURM_PROCID = "1", SLURM_STEP_NUM_TASKS = "2", SLURM_STEP_TASKS_PER_NODE = "1(x2)",
      SLURM_JOB_ID = "77", SLURM_STEP_ID = "3", SLURM_JOB_NODELIST = "n[05-08]", SLURM_STEP_NODELIST = "n[07-08]" }
    assert.equal("tcp://n07:20542", place(step).root)
    step.SLURM_STEP_ID = "4"
    assert.equal("tcp://n07:20543", place(step).root)
    step.SLURM_JOB_ID = "123456789"
    local port = tonumber(place(step).root:match "%d+$")
    assert.is_true(port >= 20000 and port < 30000)
    step.SLURM_STEP_NODELIST = nil
    assert.equal("tcp://n05:" .. port, place(step).root)
    step.SLURM_DISTRIBUTION = "arbitrary" -- then rank 0 is anywhere
    assert.has_error(function() place(step) end)
    step.EPACT_ROOT = "tcp://n05:1"
    assert.equal("tcp://n05:1", place(step).root)
  end)

  it("takes the rank from PMIx, and the size from who has started it", function()
    local step = { PMIX_RANK = "3", PMIX_NAMESPACE = "slurm.pmix.77.3", SLURM_PROCID = "0", SLURM_STEP_NUM_TASKS = "4",
      SLURM_STEP_TASKS_PER_NODE = "1(x4)", SLURM_JOB_ID = "77", SLURM_STEP_ID = "3", SLURM_STEP_NODELIST = "n[1-4]" }
    assert.same({ rank = 3, size = 4, root = "tcp://n1:20542" }, place(step))
    step.PMIX_NAMESPACE, step.OMPI_COMM_WORLD_SIZE, step.EPACT_ROOT = "prterun-1@1", "5", "tcp://a:1"
    assert.same({ rank = 3, size = 5, root = "tcp://a:1" }, place(step))
    local ok, message = pcall(place, { PMIX_RANK = "3" })
    assert.is_false(ok)
    assert.matches("PMIX_RANK is 3 but nothing says of how many", message, 1, true)
  end)

  it("is not taken from a Slurm batch script, which is no step", function()
    assert.same({ rank = 0, size = 1 }, place { SLURM_PROCID = "0", SLURM_NTASKS = "4", SLURM_JOB_ID = "1" })
  end)

  it("takes the index of a Kubernetes job as the rank", function()
    assert.same({ rank = 3, size = 4, root = "tcp://127.0.0.1:9" },
      place { JOB_COMPLETION_INDEX = "3", EPACT_SIZE = "4", EPACT_ROOT = "tcp://127.0.0.1:9" })
  end)

  it("has an address with or without its transport", function()
    local function root(text) return place({ EPACT_RANK = "1", EPACT_SIZE = "2", EPACT_ROOT = text }).root end
    assert.equal("tcp://node7:5555", root "node7:5555")
    assert.equal("tcp://node7:5555", root "tcp://node7:5555")
    assert.equal("tcp://[::1]:5555", root "[::1]:5555")
    assert.equal("ipc:///tmp/x", root "ipc:///tmp/x")
  end)

  it("comes with keys, an address of its own, or the word that neither is wanted", function()
    local environment = { EPACT_RANK = "1", EPACT_SIZE = "2", EPACT_ROOT = "a:1", EPACT_KEYS = "k",
      EPACT_INSECURE = "1", EPACT_ADDRESS = "b" }
    assert.same({ rank = 1, size = 2, root = "tcp://a:1", keys = "k", insecure = true, address = "b" },
      place(environment))
    environment.EPACT_INSECURE, environment.EPACT_KEYS, environment.EPACT_ADDRESS = "0", "", ""
    assert.same({ rank = 1, size = 2, root = "tcp://a:1", insecure = false }, place(environment))
  end)

  it("says what is missing or wrong", function()
    local function fails(pattern, environment)
      local ok, message = pcall(place, environment)
      assert.is_false(ok)
      assert.matches(pattern, message)
    end
    fails("EPACT_SIZE is 2 but EPACT_RANK is not set", { EPACT_SIZE = "2" })
    fails("EPACT_RANK is 2 but EPACT_SIZE is 2", { EPACT_RANK = "2", EPACT_SIZE = "2" })
    fails('EPACT_RANK must be an integer >= 0, got "x"', { EPACT_RANK = "x", EPACT_SIZE = "2" })
    fails('EPACT_INSECURE must be 1 or 0, got "yes"', { EPACT_RANK = "0", EPACT_SIZE = "2", EPACT_ROOT = "a:1",
      EPACT_INSECURE = "yes" })
    fails("EPACT_ROOT %(the address of rank 0", { EPACT_RANK = "0", EPACT_SIZE = "2" })
    fails("is not set: set it to the name that the headless service gives to pod 0",
      { JOB_COMPLETION_INDEX = "0", EPACT_SIZE = "2" })
    fails("mpirun does not tell on which host rank 0 is; use mpirun %-x EPACT_ROOT=",
      { OMPI_COMM_WORLD_RANK = "0", OMPI_COMM_WORLD_SIZE = "2", OMPI_COMM_WORLD_LOCAL_SIZE = "1" })
  end)
end)

describe("the workers of a process", function()
  it("are EPACT_WORKERS, or one a core", function()
    assert.equal(3, cluster.workers(function() return "3" end))
    assert.equal(require "epact.core".C.epact_cores(), cluster.workers(function() end))
    assert.has_error(function() cluster.workers(function() return "0" end) end,
      "EPACT_WORKERS must be an integer >= 1, got 0")
    assert.has_error(function() cluster.workers(function() return "many" end) end)
  end)
end)
