--- Jobs under a real mpirun.
local process = require "support.process"

-- mpirun refuses root, and more ranks than cores, unless it is told that they are meant.
local environment = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 " ..
  "OMPI_MCA_rmaps_base_oversubscribe=1 EPACT_WORKERS=1; "

local function mpirun(text, before)
  local script = process.temporary(text)
  local output, code = process.run(environment .. (before or "") .. " examples/cluster/mpirun.sh 3 " .. script,
    { paths = true, seconds = 40 })
  os.remove(script)
  return output, code
end

local sum = [[
  print((require "epact".run({}, function(w)
    local t = w:table("t", { rows = 1, cols = 1 })
    t:inc(0, 0, 10 ^ w.id)
    w:barrier()
    return t:cell(0, 0)
  end)))]]

describe("under mpirun #cluster", function()
  it("the ranks are one job", function()
    local output, code = mpirun(sum)
    assert.equal(0, code, output)
    for rank = 0, 2 do assert.matches((",%d]<stdout>:111\n"):format(rank), output, 1, true) end
  end)

  it("the root may be given, and reaches all ranks", function()
    local output, code = mpirun([[print(require "epact.cluster".place().root)]],
      "export EPACT_ROOT=tcp://127.0.0.1:21999; ")
    assert.equal(0, code, output)
    local _, count = output:gsub("<stdout>:tcp://127%.0%.0%.1:21999\n", "")
    assert.equal(3, count, output)
  end)

  local killed = [[
    require "epact".run({}, function(w)
      local t = w:table("t", { rows = 1, cols = 1 })
      w:barrier()
      if w.id == 1 then os.execute "kill -9 $PPID" end
      while true do
        t:get(0)
        w:clock()
      end
    end)]]

  it("a rank that is killed ends the job", function()
    local output, code = mpirun(killed)
    assert.equal(137, code, output)
    assert.matches("signal 9", output, 1, true)
  end)

  it("a rank that is killed is named by the others, where mpirun lets them live", function()
    local output = mpirun(killed, "export OMPI_MCA_orte_enable_recovery=1; ")
    for _, rank in ipairs { 0, 2 } do
      assert.matches((",%d]<stderr>:[^\n]*rank 1 was lost"):format(rank), output)
    end
  end)
end)
