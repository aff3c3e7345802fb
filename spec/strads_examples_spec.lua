--- Programs of schedule, push and pull as a user writes them: what the examples print is what the kernels find.
local process = require "support.process"

-- The figure behind `label` in what the example prints.
local function figure(output, label)
  return tonumber(output:match(label:gsub("%p", "%%%0") .. "%s+(%-?[%d.]+)")) or error(output)
end

-- In one process of two threads, and in two processes of one.
local function run_both(command)
  local threads, code = process.run(command .. " --workers 2 2>/dev/null")
  assert.equal(0, code, threads)
  local root = "ipc://" .. os.tmpname()
  local one = ("EPACT_SIZE=2 EPACT_ROOT=%s %s --workers 1 2>/dev/null"):format(root, command)
  local processes, other_code = process.run(("EPACT_RANK=1 %s >/dev/null & EPACT_RANK=0 %s && wait $!"):format(one,
    one))
  assert.equal(0, other_code, processes)
  return threads, processes
end

describe("the example of", function()
  it("topics is as likely as the kernel's, the same in threads and processes", function()
    local threads, processes = run_both "luajit examples/strads_lda.lua --sweeps 30"
    local own = figure(threads, "log-likelihood per token, this page")
    assert.equal(own, figure(processes, "log-likelihood per token, this page"))
    assert.near(figure(threads, "epact.mcmc.lda, by the same rotation"), own, 0.1)
    assert.is_true(own > -9.2) -- -11.2 after one sweep
  end)

  it("ratings predicts as well as the model, the same in threads and processes", function()
    local threads, processes = run_both "luajit examples/strads_mf.lua"
    local own = figure(threads, "this page")
    assert.equal(own, figure(processes, "this page"))
    assert.is_true(own < figure(threads, "the mean rating") - 0.05)
    assert.near(figure(threads, "epact.model.mf, with biases"), own, 0.05)
  end)
end)
