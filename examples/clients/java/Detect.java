// Have an Oddwave service label the rows of a CSV: Detect INPUT.csv OUTPUT.csv [URL].
// If ODDWAVE_API_KEY is set, it is sent as the key.

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;

public final class Detect {
    private static final int ATTEMPTS = 3; // while the service is busy
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What to tell the user. */
    @SuppressWarnings("serial")
    private static final class Failure extends Exception {
        Failure(String message) {
            super(message);
        }

        Failure(String message, Exception cause) {
            super(message + " (" + cause.getClass().getSimpleName() + ")", cause);
        }
    }

    public static void main(String[] words) throws InterruptedException {
        if (words.length != 2 && words.length != 3) {
            System.err.println("usage: Detect INPUT.csv OUTPUT.csv [URL]");
            System.exit(1);
        }
        try {
            run(Path.of(words[0]), Path.of(words[1]), words.length == 3 ? words[2] : "http://127.0.0.1:8080");
        } catch (Failure failure) {
            System.err.println(failure.getMessage());
            System.exit(1);
        }
    }

    private static void run(Path source, Path target, String url) throws Failure, InterruptedException {
        byte[] table;
        try {
            table = Files.readAllBytes(source);
        } catch (IOException error) {
            throw new Failure("Can't read " + source, error);
        }
        byte[] labelled = detect(table, url);
        try {
            save(target, labelled);
        } catch (IOException error) {
            throw new Failure("Can't write " + target, error);
        }
        List<String> rows = new String(labelled, StandardCharsets.UTF_8).lines().skip(1).toList();
        long anomalous = rows.stream().filter(row -> row.matches("[^,]*,1,.*")).count(); // time, label, score
        System.out.printf("%s: %d rows, %d of them anomalous%n", target, rows.size(), anomalous);
    }

    /** Send a CSV and return the service's: time, label and score of every row. */
    private static byte[] detect(byte[] table, String url) throws Failure, InterruptedException {
        String address = url.replaceFirst("/+$", "") + "/time-series-anomaly-detection";
        HttpResponse<String> response;
        try {
            String body = JSON.writeValueAsString(Map.of("csv", Base64.getEncoder().encodeToString(table)));
            response = send(request(address, body));
        } catch (IOException | IllegalArgumentException error) {
            throw new Failure("Can't reach " + address, error);
        }
        if (response.statusCode() != 200) {
            throw new Failure(refusal(response));
        }
        try {
            return Base64.getDecoder().decode(JSON.readTree(response.body()).at("/result/csv").require().textValue());
        } catch (JsonProcessingException | IllegalArgumentException | NullPointerException error) {
            throw new Failure("The answer of " + address + " isn't the documented one.");
        }
    }

    private static HttpRequest request(String address, String body) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(address))
                .timeout(Duration.ofSeconds(60))
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(body));
        String key = System.getenv("ODDWAVE_API_KEY");
        if (key != null && !key.isEmpty()) {
            builder.header("Authorization", "Bearer " + key);
        }
        return builder.build();
    }

    private static HttpResponse<String> send(HttpRequest request) throws IOException, InterruptedException {
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
        HttpResponse<String> response = client.send(request, BodyHandlers.ofString());
        for (int attempt = 1; response.statusCode() == 503 && attempt < ATTEMPTS; attempt++) {
            Thread.sleep(1000L * pause(response.headers().firstValue("Retry-After").orElse("")));
            response = client.send(request, BodyHandlers.ofString());
        }
        return response;
    }

    private static int pause(String retryAfter) {
        return retryAfter.matches("\\d{1,9}") ? Math.min(Integer.parseInt(retryAfter), 30) : 1;
    }

    /** Why the service refused, in its own words if it gave any. */
    private static String refusal(HttpResponse<String> response) {
        try {
            JsonNode told = JSON.readTree(response.body());
            return "The service refused: %s (errorCode %d, logId %s)".formatted(
                    told.required("errorMsg").asText(), told.required("errorCode").asInt(), told.required("logId").asText());
        } catch (JsonProcessingException | IllegalArgumentException error) {
            return "The service answered with HTTP status " + response.statusCode() + " and no reason.";
        }
    }

    /** Write a file whole or not at all. */
    private static void save(Path path, byte[] content) throws IOException {
        Path part = Path.of(path + ".part");
        try {
            Files.write(part, content);
            Files.move(part, path, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(part);
        }
    }
}
