--- Folders of keys: made by `epact keygen`, and refused when they are not as they should be.
local jobs = require "support.jobs"
local keys = require "epact.keys"
local process = require "support.process"

local folder

local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

local function read(name)
  local file = assert(io.open(folder .. "/" .. name))
  local text = file:read "*a"
  file:close()
  return text
end

-- environment: for all, or a list by rank from 0.
local function run(environment, options, processes)
  local prefix = {}
  for rank = 0, (processes or 2) - 1 do
    prefix[rank] = "env " .. (type(environment) == "table" and environment[rank] or environment)
  end
  return jobs.run(([[
    local epact = require "epact"
    local sum, stats = epact.run(%s, function(w)
      local t = w:table("t", { rows = 2, cols = 1 })
      t:inc(w.id %% 2, 0, 1)
      w:barrier()
      return t:get(0)[0] + t:get(1)[0]
    end)
    print(sum, stats.refused.handshake, stats.refused.malformed)
  ]]):format(options or "{ workers = 1, timeout = 25 }"), { processes = processes or 2, transport = "tcp",
    prefix = prefix })
end

describe("keys", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
  end)

  after_each(function() os.execute("rm -rf " .. folder) end)

  it("are made once, readable by their owner alone, with advice", function()
    local command = "luajit lua/epact/bin/epact keygen " .. folder
    local output, code = process.run(command, { paths = true })
    assert.equal(0, code)
    for _, advised in ipairs { "scp -pr " .. folder, "EPACT_KEYS=" .. folder, folder .. "/allowed" } do
      assert.is_truthy(output:find(advised, 1, true), output)
    end
    assert.equal("600 700", (process.run(("stat -c %%a %s/job.key %s"):format(folder, folder)):gsub("%s+", " ")
      :gsub(" $", "")))
    assert.is_truthy(output:find(read("job.pub"):match "\n(%S+)\n$", 1, true))
    assert.is_nil(output:find(read("job.key"):match "\n(%S+)\n$", 1, true))

    local secret = read "job.key"
    output, code = process.run(command, { paths = true })
    assert.equal(1, code)
    assert.matches("job%.key is there already and is not overwritten %[E_IO%]", output)
    assert.equal(secret, read "job.key")
    output, code = process.run("luajit lua/epact/bin/epact keygen", { paths = true })
    assert.equal(2, code)
    assert.matches("keygen needs one folder", output)
  end)

  it("work on the loopback too, by the environment and by the option", function()
    keys.create(folder)
    for _, results in ipairs { { run("EPACT_KEYS=" .. folder) },
      { run("EPACT_INSECURE=1", ("{ workers = 1, timeout = 25, keys = %q }"):format(folder)) } } do
      for rank = 0, 1 do
        assert.equal("", results[1][rank].errors)
        assert.equal("2\t0\t0\n", results[1][rank].output)
      end
    end
  end)

  it("that others can read are refused, with their mode", function()
    keys.create(folder)
    process.run(("chmod 640 %s/job.key"):format(folder))
    local results = run("EPACT_KEYS=" .. folder)
    for rank = 0, 1 do
      assert.matches("job%.key is secret, but its mode 0640 lets others at it: chmod 600 .-job%.key %[E_AUTH%]",
        results[rank].errors)
    end
  end)

  it("that are missing or malformed are named, with the line", function()
    local function refused(pattern)
      local results = run("EPACT_KEYS=" .. folder)
      assert.matches(pattern, results[0].errors)
      assert.equal(1, results[1].code)
    end
    refused "cannot read .-job%.key: No such file or directory %(`epact keygen .-` makes keys%) %[E_IO%]"
    keys.create(folder)
    process.run(("mkdir %s/allowed"):format(folder))
    write("allowed/n1.pub", "# node 1\n\n  " .. read("job.pub"):match "\n(%S+)\n$" .. "  \nshort\n")
    refused "allowed/n1%.pub:4: a public key is 40 characters of Z85 %[E_PARSE%]"
    write("allowed/n1.pub", "# nothing\n")
    refused "allowed/n1%.pub has no key %[E_PARSE%]"
    os.remove(folder .. "/allowed/n1.pub")
    write("job.key", read "job.pub" .. read "job.pub")
    refused "job%.key must hold one secret key: 40 characters of Z85 %[E_PARSE%]"
  end)

  it("of each node's own make a job where all list each other, and an error where one does not", function()
    process.run("mkdir " .. folder)
    local environment, public = {}, {}
    for rank = 0, 2 do
      environment[rank] = ("EPACT_KEYS=%s/%d"):format(folder, rank)
      public[rank] = keys.create(("%s/%d"):format(folder, rank))
      process.run(("mkdir %s/%d/allowed"):format(folder, rank))
    end
    for rank = 0, 2 do
      for other = 0, 2 do
        if other ~= rank then write(("%d/allowed/node%d.pub"):format(rank, other), public[other] .. "\n") end
      end
      if rank > 0 then write(rank .. "/root.pub", public[0] .. "\n") end
    end
    local results = run(environment, nil, 3)
    for rank = 0, 2 do
      assert.equal("", results[rank].errors)
      assert.equal("3\t0\t0\n", results[rank].output)
    end

    os.remove(folder .. "/2/allowed/node1.pub")
    results = run(environment, nil, 3)
    local begins = public[1]:sub(1, 8):gsub("%p", "%%%0")
    assert.matches("rank 2 at tcp://127%.0%.0%.1:%d+ does not admit this process's key " .. begins
      .. "%.%.%. %[E_AUTH%]", results[1].errors)
    assert.matches("rank 2 refused a connection from 127%.0%.0%.1: its key " .. begins .. "%.%.%. is not listed",
      results[2].errors)
    assert.matches("%[E_AUTH%]", results[0].errors) -- told by rank 1, to whom rank 2 does not listen
    assert.matches("rank [01] was lost .-%[E_LOST%]", results[2].errors)
  end)

  it("exclude the word that none are wanted", function()
    for _, case in ipairs { { "EPACT_KEYS=a EPACT_INSECURE=1" }, { "A=1", "{ keys = 'a', insecure = true }" } } do
      local results = run(case[1], case[2])
      assert.matches("epact.run: keys and insecure exclude each other", results[0].errors)
    end
  end)
end)
