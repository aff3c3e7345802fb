--- examples/cluster: what the files say fits together. (job.sbatch and mpirun.sh run in their launchers' specs.)
local process = require "support.process"

-- What of the YAML the job depends on, a line each.
local reader = [[
import sys, yaml
service, job = yaml.safe_load_all(open("examples/cluster/kubernetes.yaml"))
spec = job["spec"]; pod = spec["template"]["spec"]; container, = pod["containers"]
print(service["kind"], service["spec"]["clusterIP"], service["spec"]["selector"]["job-name"] == job["metadata"]["name"])
print(job["kind"], spec["completionMode"], spec["completions"], spec["parallelism"], pod["restartPolicy"])
print(pod["subdomain"] == service["metadata"]["name"], job["metadata"]["name"], *container["command"])
volume, = pod["volumes"]; mount, = container["volumeMounts"]
print(volume["name"] == mount["name"], volume["secret"]["secretName"], oct(volume["secret"]["defaultMode"]))
for variable in container["env"]: print(variable["name"], type(variable["value"]).__name__, variable["value"])
]]

describe("examples/cluster #cluster", function()
  it("kubernetes.yaml is a job whose first pod has the name of the root", function()
    local output, code = process.run("python3 -c " .. process.quote(reader))
    assert.equal(0, code, output)
    assert.equal([[
Service None True
Job Indexed 4 4 Never
True train luajit examples/mf.lua
True epact-keys 0o400
EPACT_SIZE str 4
EPACT_ROOT str tcp://train-0.train:5555
EPACT_WORKERS str 2
EPACT_KEYS str /etc/epact-keys
]], output)
    -- The place of a pod, with the index that Kubernetes adds.
    local environment = { JOB_COMPLETION_INDEX = "3" }
    for name, value in output:gmatch "(EPACT_%u+) str (%S+)" do environment[name] = value end
    assert.same({ rank = 3, size = 4, root = "tcp://train-0.train:5555", keys = "/etc/epact-keys" },
      require "epact.cluster".place(function(name) return environment[name] end))
  end)

  it("hosts.txt is a job of two processes here", function()
    local output, code = process.run("lua/epact/bin/epact launch --hosts examples/cluster/hosts.txt --workers 1 " ..
      "examples/mf.lua --epochs 1 --factors 2", { paths = true, seconds = 60 })
    assert.equal(0, code, output)
    assert.matches("[1] 2972 users, 1128 items", output, 1, true)
    assert.matches("2 factors, 1 workers", output, 1, true)
    assert.matches("%[0%] biases and 2 factors +%d+%.%d+", output)
    assert.is_nil(output:find("[1] biases", 1, true))
  end)
end)
