--- The linear support vector machine, written in Lua in an example, against the C kernel.
local process = require "support.process"

describe("hinge loss over the parameter server", function()
  local function example(kernel, more)
    local output, code = process.run(("luajit examples/hinge.lua --kernel %s --deterministic %s 2>/dev/null"):format(
      kernel, more))
    assert.equal(0, code, output)
    local weights = {}
    for column, weight in output:gmatch "\n%s+(%d+)%s+(%-?%d+%.%d+)" do weights[tonumber(column)] = tonumber(weight) end
    return tonumber(output:match "objective %S+ (%S+)"), weights, output
  end

  for workers = 1, 3 do
    it(("is the same written in Lua and in C: %d workers"):format(workers), function()
      local lua, lua_weights = example("lua", "--workers " .. workers)
      local c, c_weights = example("c", "--workers " .. workers)
      assert.is_true(lua < 0.1)
      assert.near(lua, c, 1e-9)
      assert.same(lua_weights, c_weights) -- ten largest, six digits
      local count = 0
      for _ in pairs(c_weights) do count = count + 1 end
      assert.equal(10, count)
    end)
  end

  it("gives the same bits in four threads and in two processes of two", function()
    local root = "ipc://" .. os.tmpname()
    for _, kernel in ipairs { "lua", "c" } do
      local _, _, threads = example(kernel, "--workers 4 --epochs 5")
      local command = ("EPACT_SIZE=2 EPACT_ROOT=%s luajit examples/hinge.lua --deterministic --workers 2 --epochs 5 "
        .. "--kernel %s 2>/dev/null"):format(root .. kernel, kernel)
      local processes, code = process.run(("EPACT_RANK=1 %s >/dev/null & EPACT_RANK=0 %s; wait $!"):format(command,
        command))
      assert.equal(0, code)
      assert.equal(threads:match "%S+$", processes:match "%S+$")
      assert.equal(threads:match "\nobjective [^\n]+", processes:match "\nobjective [^\n]+")
    end
  end)
end)
