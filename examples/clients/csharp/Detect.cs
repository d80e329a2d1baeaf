// Have an Oddwave service label the rows of a CSV: Detect INPUT.csv OUTPUT.csv [URL].
// If ODDWAVE_API_KEY is set, it is sent as the key.

using System;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Threading.Tasks;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

/// <summary>What to tell the user.</summary>
class Failure : Exception
{
    public Failure(string message, Exception cause = null) : base(message, cause) { }
}

static class Detect
{
    const int Attempts = 3; // while the service is busy
    static readonly HttpClient Client = new HttpClient { Timeout = TimeSpan.FromSeconds(60) };

    static int Main(string[] words)
    {
        if (words.Length != 2 && words.Length != 3)
        {
            Console.Error.WriteLine("usage: Detect INPUT.csv OUTPUT.csv [URL]");
            return 1;
        }
        try
        {
            var url = words.Length == 3 ? words[2] : "http://127.0.0.1:8080";
            Run(words[0], words[1], url).GetAwaiter().GetResult(); // Mono's compiler has no async Main
            return 0;
        }
        catch (Failure failure)
        {
            Console.Error.WriteLine(failure.Message);
            return 1;
        }
    }

    static async Task Run(string source, string target, string url)
    {
        var table = Guard(() => File.ReadAllBytes(source), $"Can't read {source}");
        var labelled = await Label(table, url.TrimEnd('/') + "/time-series-anomaly-detection");
        Guard(() => Save(target, labelled), $"Can't write {target}");
        var lines = Encoding.UTF8.GetString(labelled).Split(new[] { '\n' }, StringSplitOptions.RemoveEmptyEntries);
        var labels = lines.Skip(1).Select(line => line.Split(',').ElementAtOrDefault(1)).ToList(); // time, label, score
        Console.WriteLine($"{target}: {labels.Count} rows, {labels.Count(label => label == "1")} of them anomalous");
    }

    /// <summary>Send a CSV and return the service's: time, label and score of every row.</summary>
    static async Task<byte[]> Label(byte[] table, string address)
    {
        var body = new JObject { ["csv"] = Convert.ToBase64String(table) }.ToString(Formatting.None);
        HttpStatusCode status;
        string answer;
        try
        {
            using (var response = await Send(address, body))
            {
                status = response.StatusCode;
                answer = await response.Content.ReadAsStringAsync();
            }
        }
        catch (Exception error) when (error is HttpRequestException || error is OperationCanceledException
            || error is InvalidOperationException || error is FormatException || error is IOException)
        {
            throw new Failure($"Can't reach {address}: {error.GetBaseException().Message}", error);
        }
        if (status != HttpStatusCode.OK) throw new Failure(Refusal(status, answer));
        try
        {
            return Convert.FromBase64String((string)JObject.Parse(answer).SelectToken("result.csv", true));
        }
        catch (Exception error) when (error is JsonException || error is FormatException || error is ArgumentException)
        {
            throw new Failure($"The answer of {address} isn't the documented one.", error);
        }
    }

    static async Task<HttpResponseMessage> Send(string address, string body)
    {
        var key = Environment.GetEnvironmentVariable("ODDWAVE_API_KEY");
        if (!string.IsNullOrEmpty(key)) Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        for (var attempt = 1; ; attempt++)
        {
            var content = new StringContent(body, Encoding.UTF8, "application/json");
            var response = await Client.PostAsync(address, content);
            if (response.StatusCode != HttpStatusCode.ServiceUnavailable || attempt == Attempts) return response;
            var wait = response.Headers.RetryAfter?.Delta?.TotalSeconds ?? 1;
            response.Dispose();
            await Task.Delay(TimeSpan.FromSeconds(Math.Min(wait, 30)));
        }
    }

    /// <summary>Why the service refused, in its own words if it gave any.</summary>
    static string Refusal(HttpStatusCode status, string answer)
    {
        try
        {
            var told = JObject.Parse(answer);
            var (code, message, id) = (told.SelectToken("errorCode", true), told.SelectToken("errorMsg", true), told["logId"]);
            return $"The service refused: {message} (errorCode {code}, logId {id})";
        }
        catch (JsonException)
        {
            return $"The service answered with HTTP status {(int)status} and no reason.";
        }
    }

    /// <summary>Write a file whole or not at all.</summary>
    static bool Save(string path, byte[] content)
    {
        var part = path + ".part";
        try
        {
            File.WriteAllBytes(part, content);
            if (File.Exists(path)) File.Replace(part, path, null);
            else File.Move(part, path);
            return true;
        }
        finally
        {
            File.Delete(part);
        }
    }

    static T Guard<T>(Func<T> action, string message)
    {
        try
        {
            return action();
        }
        catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
        {
            throw new Failure($"{message}: {error.Message}", error);
        }
    }
}
