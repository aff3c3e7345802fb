--- `epact launch` and lists of hosts.
local launch = require "epact.launch"
local process = require "support.process"

local function script(text)
  local name = process.temporary(text)
  finally(function() os.remove(name) end)
  return name
end

local function run(arguments, seconds)
  return process.run("lua/epact/bin/epact " .. arguments, { paths = true, seconds = seconds or 60 })
end

describe("hosts", function()
  it("expands ranges, keeps leading zeros, and takes several brackets", function()
    assert.same({ "n01", "n02", "n03", "n04", "n7", "login" }, launch.expand "n[01-04,7],login")
    assert.same({ "a1b3", "a1b4", "a2b3", "a2b4" }, launch.expand "a[1-2]b[3-4]")
    assert.same({ "n099", "n100" }, launch.expand "n[099-100]")
    assert.same({}, launch.expand "")
  end)

  it("refuses what is no list", function()
    for _, list in ipairs { "n[1-", "n]1[", "n[3-1]", "n[a-b]", "n[1" } do
      assert.has_error(function() launch.expand(list) end)
    end
  end)
end)

describe("epact launch --local", function()
  it("gives every process its place, prefixes its lines and ends with 0", function()
    local output, code = run("launch --local 3 " .. script [[
      io.stdout:write(os.getenv "EPACT_RANK", " of ", os.getenv "EPACT_SIZE", " ", arg[1], "\n")
      io.stderr:write "no newline at the end"]] .. " word")
    assert.equal(0, code)
    for rank = 0, 2 do
      assert.matches(("%%[%d%%] %d of 3 word\n"):format(rank, rank), output)
      assert.matches(("%%[%d%%] no newline at the end\n"):format(rank), output)
    end
  end)

  it("is one job: a table's sum holds the increments of all processes", function()
    local output, code = run("launch --local 3 " .. script [[
      print((require "epact".run({ workers = 2 }, function(w)
        local t = w:table("t", { rows = 1, cols = 1 })
        t:inc(0, 0, 10 ^ w.id)
        w:barrier()
        return t:cell(0, 0)
      end)))]])
    assert.equal(0, code)
    local _, count = output:gsub("111111\n", "")
    assert.equal(3, count)
  end)

  it("ends with the worst status, and what others did after they were ended does not count", function()
    local output, code = run("launch --local 2 " .. script [[
      os.exit(os.getenv "EPACT_RANK" == "0" and 7 or 3)]])
    assert.equal(7, code, output)
  end)

  it("says which process was killed", function()
    local output, code = run("launch --local 2 " .. script [[
      if os.getenv "EPACT_RANK" == "1" then os.execute "kill -9 $PPID" end]])
    assert.equal(137, code)
    assert.matches("%[1%] ended by signal 9", output)
  end)

  it("complains about words it does not know", function()
    for _, arguments in ipairs { "", "launch", "launch --local", "launch --local x a.lua", "launch --local 2",
      "lauch" } do
      local output, code = run(arguments)
      assert.equal(2, code)
      assert.matches("usage:", output)
    end
  end)
end)
